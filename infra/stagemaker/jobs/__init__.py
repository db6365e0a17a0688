"""One container's life: its channels, its program, its log, its metrics, its artifacts, its end.

A job is a directory. The server writes what is to be done (`spec.json`); a runner, a process of its
own, carries it out and appends what happens to `record.jsonl`; the server folds that record into the
store. Either side may die and come back: the directory is all they share.
"""
