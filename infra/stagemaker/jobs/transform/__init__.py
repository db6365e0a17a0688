"""Batch transform: objects in, a model between, objects out.

A runner process shares the objects among the job's instances; each instance reads its objects as streams, splits
them into payloads, has several with the model at a time, and puts the answers together in their order.
"""
