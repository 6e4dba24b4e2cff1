"""Remote services: GraceDB, Treasure Map, Gaia's archive, the product store, plain HTTP."""
