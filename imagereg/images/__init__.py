"""Use cases on images.  Every public function takes a `Grant` first.

What the gate has not approved cannot be written: repositories accept only the
`ApprovedImage` and `ApprovedChanges` that a grant returns.
"""
