"""What the stages of a night do where arrays, programs and files meet; the tasks beside this folder call it."""
