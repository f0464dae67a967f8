"""Back-translation for kexp: paraphrases by translation models, kept in a store, behind a quality gate."""
