"""Bytes: where they are kept, and what they turn out to be.

This room knows keys, sizes, digests and disk formats; it knows no images and no
users.  `catalog.StoreCatalog` is the way in; `store.Store` is one store as others
see it; `driver` says what a backend must do.
"""
