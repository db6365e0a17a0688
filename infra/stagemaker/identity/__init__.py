"""Who makes a call, and may they: one authenticator and one authoriser for every call to every service.

`Identity` (in `room.py`) is what the gateway holds. For each call, in this order:

1.  `authenticate`: the signature is verified and names a principal.
2a. A service of ours: `authorise_operation` judges the action on the ARNs that its `Api` gives, and each
    role that is passed.
2b. A service of the backing: `describe` says which permissions the call needs, `authorise_call` judges
    them, `forward` gives the request as the backing must see it, `observe` is shown the answer before
    the client is.

Policies are read from the backing by AWS's own API, so any backing is governed alike, also one that
enforces nothing. The evaluation is written here rather than taken from a backing's library: it must
not depend on the state of one of them.
"""
