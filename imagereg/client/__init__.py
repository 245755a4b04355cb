"""What runs where the files are: the registry's own client.

It knows the Image API and nothing of how the registry works; of the registry's rooms
it uses the failures alone.
"""
