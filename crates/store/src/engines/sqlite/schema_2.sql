-- Version 2: requests that were applied, so that a repeat is not applied again.

CREATE TABLE requests (
    number INTEGER PRIMARY KEY,  -- in the order of time, so that the oldest are found without an index of its own
    user TEXT NOT NULL,
    id TEXT NOT NULL,
    content BLOB NOT NULL,       -- a hash of what was done
    outcome TEXT NOT NULL,       -- what is returned: [existed, version, result] of each write, or how many a clear removed
    expires_at INTEGER NOT NULL,
    UNIQUE (user, id)
) STRICT;
