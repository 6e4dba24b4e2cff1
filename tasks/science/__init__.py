"""Pure functions of arrays, tables and records: no Prefect, files, network, clock or globals.

Conventions. An image is ``(ny, nx)``, a stack of images ``(n, ny, nx)``. A mask is True where a pixel is bad.
A variance lies beside its data, in the data's unit squared. Positions are 0-based ``x, y`` in pixels, the centre of
the first pixel being (0, 0). Image functions run on NumPy and CuPy alike through ``xp = arrays.array_namespace(image)``.
"""
