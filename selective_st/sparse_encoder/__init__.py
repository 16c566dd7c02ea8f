"""For models of sparse embeddings, laid out as Sentence Transformers lays out its own package."""
