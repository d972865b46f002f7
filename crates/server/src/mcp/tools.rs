//! The tools: which there are, and which function does each.

use agent_data_store::Result;
use tokio_util::sync::CancellationToken;

use super::arguments::Arguments;
use super::schema::{Argument, Described, Effect, Form, needed, optional};
use super::{coordination, keys, records};
use crate::caller::Caller;
use crate::waiting::unless_stopped;

const KEY: Argument = needed("key", Form::Name(1024), "The record's key.");
const NAMESPACE: Argument =
    optional("namespace", Form::Name(512), "The group of keys; without it the usual one, named in the instructions.");
const TTL: Argument = optional(
    "ttl",
    Form::Seconds { some: true },
    "Seconds from now after which the record is gone by itself; without it an expiry stays as it is.",
);
const PREFIX: Argument = optional("prefix", Form::Text, "Only names that start with this.");
const LIMIT: Argument = optional("limit", Form::Whole(1), "At most this many; without it as many as fit one answer.");
const CURSOR: Argument = optional(
    "cursor",
    Form::Text,
    "From the last answer, to go on where it was cut; repeat the other arguments unchanged.",
);
const TOKEN: Argument = needed("token", Form::Whole(1), "As the answer gave it that made it yours.");

/// All of them, in the order in which they are listed.
pub(super) static TOOLS: [Described; 15] = [
    Described {
        name: "get",
        title: "Read a record",
        about: "Reads the value under a key. Answers {found, value, version}; found is false where there is none. A value \
                that is too long is cut, never silently: text then holds a part of its JSON, characters its true length, \
                outline its members, and cursor goes on. Use path to read one part of a large value.",
        effect: Effect::Reads,
        arguments: &[
            NAMESPACE,
            KEY,
            optional("path", Form::Text, "JSON Pointer to one part of the value, for instance /files/0/name."),
            optional("max_characters", Form::Whole(1000), "A smaller answer than usual, from 1000 characters on."),
            CURSOR,
            optional(
                "bookkeeping",
                Form::Flag,
                "Also metadata, who created and wrote it, when, how often it was read.",
            ),
        ],
    },
    Described {
        name: "set",
        title: "Store a record",
        about: "Stores a JSON value under a key, replacing what is there. Answers {version}. To change only parts of a value \
                use merge; to count use increment; to add to a list use append: those lose nothing when others write at \
                the same time. To replace only what you have read, give its version as if_version.",
        effect: Effect::Replaces,
        arguments: &[
            NAMESPACE,
            KEY,
            needed(
                "value",
                Form::Any,
                "Any JSON, stored exactly. Pass an object as an object, not as a string of JSON.",
            ),
            optional(
                "ttl",
                Form::Seconds { some: true },
                "Seconds from now after which the record is gone by itself; without it the record stays.",
            ),
            optional(
                "if_version",
                Form::Whole(0),
                "Store only if the record still has this version; 0: only if there is none.",
            ),
            optional("metadata", Form::Object, "Notes about the record, merged into those that are there."),
        ],
    },
    Described {
        name: "delete",
        title: "Delete a record",
        about: "Removes the record under a key. Answers {deleted}: false where there was none.",
        effect: Effect::Replaces,
        arguments: &[NAMESPACE, KEY],
    },
    Described {
        name: "get_many",
        title: "Read several records",
        about: "Reads the records under several keys of one namespace. Answers {records}, in the order of keys, each {key, \
                value, version} or {key, missing}. Values that are too long show {characters, preview} instead: get reads \
                those. Goes on with cursor.",
        effect: Effect::Reads,
        arguments: &[
            NAMESPACE,
            needed("keys", Form::Keys, "The keys, at most 1000."),
            optional("show", Form::OneOf(&["values", "previews"]), "previews: only sizes and the first characters."),
            CURSOR,
        ],
    },
    Described {
        name: "list_keys",
        title: "List keys",
        about: "Lists the keys of a namespace in order. Answers {total, keys}; with show=previews each with its version, \
                size and the first characters of its value. Goes on with cursor.",
        effect: Effect::Reads,
        arguments: &[
            NAMESPACE,
            PREFIX,
            optional("show", Form::OneOf(&["keys", "previews"]), "keys alone, or previews of the values with them."),
            LIMIT,
            CURSOR,
        ],
    },
    Described {
        name: "list_namespaces",
        title: "List namespaces",
        about: "Lists the namespaces that hold records, each with how many records and bytes, which agents, and when it was \
                written last. Start here to find out what is stored. Goes on with cursor.",
        effect: Effect::Reads,
        arguments: &[PREFIX, LIMIT, CURSOR],
    },
    Described {
        name: "search",
        title: "Search keys",
        about: "Finds the keys that contain a text, in one namespace or in all, whatever the case of its letters. It looks \
                at keys, not at values. Answers {found: [{namespace, key}], searched}. Goes on with cursor.",
        effect: Effect::Reads,
        arguments: &[
            needed("text", Form::Name(1024), "What the key contains."),
            optional("namespace", Form::Name(512), "Only in this one; without it in all that you reach."),
            LIMIT,
            CURSOR,
        ],
    },
    Described {
        name: "increment",
        title: "Add to a number",
        about: "Adds to the number under a key in one step, so that no count is lost however many do so. A missing key \
                counts as 0. Answers {value}, the new number.",
        effect: Effect::Adds,
        arguments: &[
            NAMESPACE,
            KEY,
            optional("by", Form::Number, "What is added; 1 without it. May be negative."),
            TTL,
        ],
    },
    Described {
        name: "append",
        title: "Append to a list",
        about: "Adds an item to the end of the list under a key in one step, so that no item is lost however many do so. A \
                missing key counts as an empty list. Answers {length}.",
        effect: Effect::Adds,
        arguments: &[
            NAMESPACE,
            KEY,
            needed("item", Form::Any, "Any JSON."),
            optional("unique", Form::Flag, "Leave it out if the list holds it already."),
            optional("max_length", Form::Whole(1), "Drop the oldest items above this length."),
            TTL,
        ],
    },
    Described {
        name: "merge",
        title: "Change parts of a value",
        about: "Changes some members of the object under a key in one step (JSON Merge Patch): members of the patch replace \
                those there, objects are merged member by member, null removes a member. A missing key counts as empty. \
                Answers {value}, the whole new value.",
        effect: Effect::Replaces,
        arguments: &[
            NAMESPACE,
            KEY,
            needed("patch", Form::Any, "The members to change, for instance {\"done\": true}."),
            TTL,
        ],
    },
    Described {
        name: "wait_for",
        title: "Wait for a record",
        about: "Waits until another agent has stored a record under a key, and reads it. Answers as get; found is false \
                when the time is over: then call again, or do something else. With since_version it waits for a change \
                after that version.",
        effect: Effect::Reads,
        arguments: &[
            NAMESPACE,
            KEY,
            optional(
                "timeout_seconds",
                Form::Seconds { some: false },
                "How long to wait; 30 without it, bounded by the server.",
            ),
            optional("since_version", Form::Whole(0), "Only a version greater than this counts."),
        ],
    },
    Described {
        name: "lock",
        title: "Take a lock",
        about: "Takes a lock, so that nobody else does the same thing at the same time. Answers {token, expiresAt}: keep the \
                token, unlock needs it. The lock ends by itself after ttl_seconds; to hold it for longer call lock again \
                with token before that. If somebody else holds it, the error says who and until when.",
        effect: Effect::Adds,
        arguments: &[
            NAMESPACE,
            needed("resource", Form::Name(1019), "What is locked: any name on which all agree."),
            optional(
                "ttl_seconds",
                Form::Seconds { some: true },
                "How long it is held unless renewed; 300 without it.",
            ),
            optional(
                "wait_seconds",
                Form::Seconds { some: false },
                "How long to wait if somebody else holds it; not at all without it.",
            ),
            optional("token", Form::Whole(1), "To hold a lock of yours for longer."),
        ],
    },
    Described {
        name: "unlock",
        title: "Give a lock back",
        about: "Gives back a lock that lock has taken. Answers {released}. An error lease_lost says that it was no longer \
                yours.",
        effect: Effect::Moves,
        arguments: &[NAMESPACE, needed("resource", Form::Name(1019), "The name that was locked."), TOKEN],
    },
    Described {
        name: "claim",
        title: "Take a task",
        about: "Takes the first task that nobody else has: every record whose key starts with prefix is one, so set makes \
                tasks. Answers {task: {key, value, token, attempt, expiresAt}}, or {task: null} where there is none. End it \
                with complete. It goes back to the others after ttl_seconds; to keep it for longer call claim again with its \
                key and token before that.",
        effect: Effect::Moves,
        arguments: &[
            NAMESPACE,
            PREFIX,
            optional("ttl_seconds", Form::Seconds { some: true }, "How long it is kept from others; 300 without it."),
            optional(
                "wait_seconds",
                Form::Seconds { some: false },
                "How long to wait for a task where there is none; not at all without it.",
            ),
            optional(
                "max_attempts",
                Form::Whole(1),
                "Set tasks aside as failed after this many attempts without an end.",
            ),
            optional("key", Form::Name(1024), "To keep a task of yours for longer: its key, with token."),
            optional("token", Form::Whole(1), "To keep a task of yours for longer."),
        ],
    },
    Described {
        name: "complete",
        title: "End a task",
        about: "Ends a task that claim has given. With result it is done, and its record moves to the namespace \
                tasks-done:NAMESPACE with the result as its value. With error it has failed, and moves to \
                tasks-failed:NAMESPACE, or with retry_in_seconds goes back to the others. Answers {ended}.",
        effect: Effect::Moves,
        arguments: &[
            NAMESPACE,
            needed("key", Form::Name(1024), "The task's key."),
            TOKEN,
            optional("result", Form::Any, "What came of it: any JSON."),
            optional("error", Form::Text, "Why it failed; not together with result."),
            optional(
                "retry_in_seconds",
                Form::Seconds { some: false },
                "After how long another attempt may be made; only with error.",
            ),
        ],
    },
];

/// A tool by its name.
pub(super) fn named(name: &str) -> Option<&'static Described> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// One call: who makes it, with what, and how much it may answer.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) caller: &'a Caller,
    pub(super) arguments: Arguments<'a>,
    /// Most characters of the answer.
    pub(super) bound: usize,
    /// Comes when the client no longer wants an answer.
    pub(super) cancelled: CancellationToken,
}

impl Call<'_> {
    /// The result of a wait, unless the server stops or the client takes the call back.
    pub(super) async fn unless_ended<T>(&self, wait: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            result = unless_stopped(self.caller.app(), wait) => result,
            () = self.cancelled.cancelled() => Err(super::cancelled()),
        }
    }
}

/// Does what a call asks for; returns the text of its answer.
pub(super) async fn run(tool: &Described, call: &Call<'_>) -> Result<String> {
    match tool.name {
        "get" => records::get(call).await,
        "get_many" => records::get_many(call).await,
        "set" => records::set(call).await,
        "delete" => records::delete(call).await,
        "increment" => records::increment(call).await,
        "append" => records::append(call).await,
        "merge" => records::merge(call).await,
        "wait_for" => records::wait_for(call).await,
        "list_keys" => keys::list(call).await,
        "list_namespaces" => keys::namespaces(call).await,
        "search" => keys::search(call).await,
        "lock" => coordination::lock(call).await,
        "unlock" => coordination::unlock(call).await,
        "claim" => coordination::claim(call).await,
        _ => coordination::complete(call).await,
    }
}
