"""(extra [train]) corpora, augmentation, fitting, export, model card."""
