"""For models that read two texts at once, laid out as Sentence Transformers lays out its own package."""
