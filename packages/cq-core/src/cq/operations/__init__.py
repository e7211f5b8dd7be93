"""Operations: tasks that change many others, by a filter and in batches.

An operation is a row like any other, named ``cq.operation``. What it is to do are its
arguments; how far it is stands among its row's options, and is written with the changes
of each batch, in one transaction. So it may be killed at any statement, and goes on.
"""
