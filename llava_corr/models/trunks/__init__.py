"""Language trunks, one file each."""
