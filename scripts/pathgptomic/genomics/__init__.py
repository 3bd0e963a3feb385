"""Genomics stage: frozen scGPT, MLP-A and the embeddings of the bulk samples."""
