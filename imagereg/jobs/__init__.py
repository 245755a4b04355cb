"""Durable background work: the queue's workers, and the jobs themselves.

Own rows with a lease instead of a task queue library.  `huey` on the same database
was the other candidate; its queue hands a message out by deleting it, so a worker
that dies takes the work along, and it pickles what it queues, which makes whoever can
write the database run code here.  Above all, a task's record, the lock on its image
and the queue entry must come and go in one transaction with the image itself, or a
crash between two of them leaves an image that nobody can use again.
"""
