-- Version 1. `{t}` stands for the schema and the prefix of the tables. Every key begins with the user, so that databases
-- which spread tables over machines keep a user's rows together. Times are microseconds since 1970, values and metadata
-- JSON text.

-- Where versions and the identities of namespaces come from, unless a user's feed gives them.
CREATE SEQUENCE {t}versions;

-- A user's change feed: the newest version where each user has a counter of their own, and up to where the feed was trimmed.
CREATE TABLE {t}feeds (
    user_id text COLLATE "C" PRIMARY KEY,
    last_version bigint NOT NULL,
    trimmed_to bigint NOT NULL
);

-- A namespace's identity. `clear` drops the row; its id never comes back, so its records are unreachable at once.
CREATE TABLE {t}namespaces (
    user_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    id bigint NOT NULL,
    PRIMARY KEY (user_id, name),
    UNIQUE (user_id, id)
);

-- What is in a namespace, in several rows that are summed up: writers with different slots do not wait for each other.
CREATE TABLE {t}counts (
    user_id text COLLATE "C" NOT NULL,
    namespace_id bigint NOT NULL,
    slot integer NOT NULL,
    records bigint NOT NULL,   -- expired ones that are not swept yet included
    bytes bigint NOT NULL,     -- of their keys, values and metadata
    updated_at bigint NOT NULL,
    PRIMARY KEY (user_id, namespace_id, slot)
);

CREATE TABLE {t}agents (
    user_id text COLLATE "C" NOT NULL,
    namespace_id bigint NOT NULL,
    agent text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, namespace_id, agent)
);

-- Namespaces that are gone and whose records are still to be swept.
CREATE TABLE {t}dropped (
    user_id text COLLATE "C" NOT NULL,
    namespace_id bigint NOT NULL,
    PRIMARY KEY (user_id, namespace_id)
);

CREATE TABLE {t}records (
    user_id text COLLATE "C" NOT NULL,
    namespace_id bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    birth bigint NOT NULL,     -- the version that created it
    expires_at bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    accessed_at bigint,        -- by writing; reads are in `accesses`
    created_by text,
    updated_by text,
    accessed_by text,
    metadata text,             -- NULL for {}
    value text NOT NULL,
    PRIMARY KEY (user_id, namespace_id, key)
);

-- What is expired in a namespace, and what is to be swept.
CREATE INDEX {p}records_expired ON {t}records (user_id, namespace_id, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX {p}records_to_sweep ON {t}records (expires_at) WHERE expires_at IS NOT NULL;

-- Reads, in a table of their own so that counting them does not rewrite records. They are those of the record of the same
-- birth; of another one they are left over.
CREATE TABLE {t}accesses (
    user_id text COLLATE "C" NOT NULL,
    namespace_id bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    birth bigint NOT NULL,
    count bigint NOT NULL,
    last_at bigint NOT NULL,
    last_by text NOT NULL,
    PRIMARY KEY (user_id, namespace_id, key)
);

-- The change feed.
CREATE TABLE {t}changes (
    user_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    kind smallint NOT NULL,    -- 1 set, 2 delete, 3 expire, 4 clear
    namespace text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    agent text,
    at bigint NOT NULL,
    PRIMARY KEY (user_id, version)
);

-- Requests that were applied, so that a repeat is not applied again.
CREATE TABLE {t}requests (
    user_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    content bytea NOT NULL,    -- a hash of what was done
    outcome text NOT NULL,     -- what is returned: [existed, version, result] of each write, or how many a clear removed
    expires_at bigint NOT NULL,
    PRIMARY KEY (user_id, id)
);

CREATE INDEX {p}requests_to_sweep ON {t}requests (expires_at);
