"""For models that embed each token (late interaction), laid out as Sentence Transformers lays out its own package."""
