"""Sabotages of the program, and for each the test that must notice it.

A sabotage replaces one text in a copy of this repository. Its test is then run there. If it passes all the
same, no test holds the promise that was broken.
"""

from tests.mutations.server import SERVER
from tests.mutations.shards import SHARDS
from tests.mutations.stores import STORES
from tests.mutations.work import WORK

MUTATIONS = (*STORES, *WORK, *SHARDS, *SERVER)
