"""Read and write files safely: complete or not at all, inside the folder, and from strangers."""
