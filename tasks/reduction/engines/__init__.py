"""Work of the night's stages that joins arrays, programs and files; called by the tasks of ``tasks/reduction``."""
