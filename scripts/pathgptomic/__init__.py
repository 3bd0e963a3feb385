"""Path-GPTOmic: survival prediction from bulk RNA-seq, copy number, mutations and pathology slides."""

__version__ = "0.1.0"
