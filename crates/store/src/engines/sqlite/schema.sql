-- Version 1; what came later is in `schema_2.sql`. Made to be looked at with any SQLite tool: times are microseconds
-- since 1970, values and metadata JSON text.

-- A namespace's identity. `clear` drops the row; its id never comes back, so its records are unreachable at once.
CREATE TABLE namespaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    records INTEGER NOT NULL,  -- expired ones that are not swept yet included
    bytes INTEGER NOT NULL,    -- of their keys, values and metadata
    updated_at INTEGER NOT NULL,
    UNIQUE (user, name)
) STRICT;

CREATE TABLE namespace_agents (
    namespace_id INTEGER NOT NULL,
    agent TEXT NOT NULL,
    PRIMARY KEY (namespace_id, agent)
) STRICT, WITHOUT ROWID;

-- Cleared namespaces whose records are still to be swept.
CREATE TABLE dropped_namespaces (id INTEGER PRIMARY KEY) STRICT;

-- With a rowid: large values then live in overflow pages of the table, and the key index stays small.
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    namespace_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    accessed_at INTEGER,       -- by writing; reads are in `accesses`
    created_by TEXT,
    updated_by TEXT,
    accessed_by TEXT,
    metadata TEXT,             -- NULL for {}
    value TEXT NOT NULL,
    UNIQUE (namespace_id, key)
) STRICT;

CREATE INDEX records_by_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;

-- Reads, in a table of their own so that counting them does not rewrite values.
CREATE TABLE accesses (
    record_id INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    last_by TEXT NOT NULL
) STRICT;

-- The change feed. A user's newest row is never removed: it holds the last version given.
CREATE TABLE changes (
    user TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind INTEGER NOT NULL,     -- 1 set, 2 delete, 3 expire, 4 clear
    namespace TEXT NOT NULL,
    key TEXT,
    agent TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (user, version)
) STRICT, WITHOUT ROWID;
