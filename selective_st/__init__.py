"""Selective losses for Sentence Transformers: for when some scores matter more than others.

`selective_st.links` says what matters, `selective_st.functional` has the losses on tensors, `selective_st.losses` the
losses to pass to a `SentenceTransformerTrainer`.
"""

__version__ = "0.1.0"
