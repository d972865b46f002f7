//! One agent's view of a store: the verbs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::access::{AccessBuffer, Scope};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::json::Json;
use crate::lease::HeldLocks;
use crate::limits::{RESERVED_USERS, check_agent, check_key, check_namespace, check_user};
use crate::model::{
    Address, Batch, Expiry, Mutation, NamespaceStats, Outcome, Page, PageSize, Precondition, Range, Record, Row,
    Version, View, Write,
};
use crate::observe::Observer;
use crate::quota::Quota;
use crate::request::{OneRequest, RequestId};
use crate::secrets::{SecretsPolicy, WarningSink};
use crate::store::Inner;
use crate::trace::{Seen, Traced};

/// Who is calling. Names are checked on the way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: Arc<str>,
    agent: Option<Arc<str>>,
}

impl Identity {
    /// A user and the agent that acts for it; no agent for an administrator, whose calls leave no trace of access.
    ///
    /// # Errors
    /// `InvalidArgument` unless both are 1 to 256 bytes without NUL, or for one of [`crate::limits::RESERVED_USERS`].
    pub fn new(user: &str, agent: Option<&str>) -> Result<Self> {
        check_user(user)?;
        agent.map(check_agent).transpose()?;
        Ok(Self { user: user.into(), agent: agent.map(Into::into) })
    }

    /// The store's own user `ads:{name}`, for what belongs to no one's data, such as access tokens. `name` is the program's
    /// own: never one that comes from outside.
    pub fn reserved(name: &'static str) -> Self {
        Self { user: format!("{RESERVED_USERS}{name}").into(), agent: None }
    }

    /// The owner of the data.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Who acts, if it is an agent.
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }
}

/// What a `set` may say beyond key and value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// An object that is merged key by key into the metadata that is there; `None` or `{}` leaves it.
    pub metadata: Option<Json>,
    /// How long the record lives; `None`: until it is deleted.
    pub ttl: Option<Duration>,
    /// The version that must be there; 0: no live record.
    pub if_version: Option<Version>,
}

/// A user's records in one namespace, as one agent reads and writes them. Cheap to clone, safe to share.
///
/// Every verb may fail with `InvalidArgument` (a name outside of the limits, a closed store, a likely credential where
/// [`SecretsPolicy::Refuse`] holds), `Unavailable` (busy past the
/// deadline, full disk) and `CorruptStore`; only further errors are named below.
#[derive(Clone)]
pub struct DataStore {
    store: Arc<Inner>,
    identity: Identity,
    namespace: Arc<str>,
    /// Where reads are counted; an administrator's are not.
    reads: Option<Arc<AccessBuffer>>,
    observer: Option<Arc<dyn Observer>>,
    secrets: SecretsPolicy,
    quota: Option<Quota>,
    request: Option<Arc<OneRequest>>,
}

impl DataStore {
    pub(crate) fn new(store: Arc<Inner>, identity: Identity, namespace: Arc<str>) -> Self {
        let reads = identity.agent.as_ref().map(|agent| {
            let scope =
                Scope { user: Arc::clone(&identity.user), agent: Arc::clone(agent), namespace: Arc::clone(&namespace) };
            store.accesses.buffer(scope)
        });
        let secrets = store.secrets;
        Self { store, identity, namespace, reads, observer: None, secrets, quota: None, request: None }
    }

    /// The same store, user and agent in another namespace; this one is unchanged.
    ///
    /// # Errors
    /// `InvalidArgument` unless the name is 1 to 512 bytes without NUL.
    pub fn use_namespace(&self, namespace: &str) -> Result<Self> {
        check_namespace(namespace)?;
        let other = Self::new(Arc::clone(&self.store), self.identity.clone(), namespace.into());
        let Self { observer, secrets, quota, request, .. } = self.clone();
        Ok(Self { observer, secrets, quota, request, ..other })
    }

    /// The same view with `observer` told of every operation.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The same view with another policy for likely credentials than that of the store: for this namespace, and those
    /// reached from here with [`DataStore::use_namespace`].
    #[must_use]
    pub fn with_secrets_policy(self, secrets: SecretsPolicy) -> Self {
        Self { secrets, ..self }
    }

    /// The same view with a limit on what the user's records may take, over all namespaces: for what is written here and
    /// in the namespaces reached from here with [`DataStore::use_namespace`]. Every write of it may then fail with
    /// `QuotaExceeded`, which stores nothing; one that does not make the records or bytes grow is done in any case. A view
    /// that has a quota already keeps to both.
    #[must_use]
    pub fn with_quota(self, quota: Quota) -> Self {
        let quota = self.quota.map_or(quota, |present| present.and(quota));
        // Engines look at what the user has only where there is something to hold it against.
        Self { quota: quota.is_a_limit().then_some(quota), ..self }
    }

    /// The same view for one write, which is not done again if it was done before under the same id, within 24 hours and
    /// by the same user: it then returns what it returned the first time. A merge or increment whose result was longer
    /// than 1 KiB returns the record's value as it is by then, or `null` where it is gone.
    ///
    /// The id goes with the first write of the view, be it a `set`, a whole `write` or a `clear`; a call that has nothing
    /// to write leaves it. For another write make another view: with this one, or with a view made from it, it fails with
    /// `InvalidArgument`, and so does a write under an id that another write has had.
    #[must_use]
    pub fn with_request(self, id: RequestId) -> Self {
        Self { request: Some(Arc::new(OneRequest::new(id))), ..self }
    }

    /// The policy for likely credentials in what is written.
    pub fn secrets_policy(&self) -> SecretsPolicy {
        self.secrets
    }

    /// The namespace of this view.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Who is calling.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The limits in force.
    pub fn limits(&self) -> &crate::limits::Limits {
        &self.store.limits
    }

    /// The value under `key`, or `None`. Counts as a read.
    pub async fn get(&self, key: &str) -> Result<Option<Json>> {
        if let Some(result) = self.get_if_at_hand(key) {
            return result;
        }
        let traced = self.trace("get", key);
        let result = async {
            check_key(key)?;
            let row = self.read_one(key, View::Value).await?;
            Ok(row.and_then(|row| row.value))
        };
        traced.end(result.await, |value| Seen::value(value.as_ref()))
    }

    /// What [`DataStore::get`] would return, if that takes no waiting and no system call (some 100 ns); `None` where it has
    /// to be read. For callers who give something up before they wait, such as an interpreter lock.
    pub fn get_if_at_hand(&self, key: &str) -> Option<Result<Option<Json>>> {
        if check_key(key).is_err() || self.store.check_open().is_err() {
            return None;
        }
        let traced = self.trace("get", key);
        let row = self.store.engine.peek(&self.identity.user, &self.namespace, key)?;
        self.count_read(key, row.as_ref());
        Some(traced.end(Ok(row.and_then(|row| row.value)), |value| Seen::value(value.as_ref())))
    }

    /// The whole record under `key`, or `None`. Counts as a read.
    pub async fn get_record(&self, key: &str) -> Result<Option<Record>> {
        let traced = self.trace("get_record", key);
        let result = async {
            check_key(key)?;
            let row = self.read_one(key, View::Record).await?;
            Ok(row.and_then(|row| self.record(Row { key: key.into(), ..row })))
        };
        traced.end(result.await, |record| Seen::value(record.as_ref().map(|record| &record.value)))
    }

    /// The records under `keys` in that order, missing ones and repetitions left out; one consistent snapshot. Counts as a
    /// read of each.
    ///
    /// # Errors
    /// `TooLarge` for more than 100,000 keys.
    pub async fn get_many<K: AsRef<str>>(&self, keys: &[K]) -> Result<Vec<(Box<str>, Json)>> {
        let traced = self.trace("get_many", "");
        let result = async {
            self.store.limits.check_batch(keys.len())?;
            let mut seen = std::collections::HashSet::with_capacity(keys.len());
            let mut addresses = Vec::with_capacity(keys.len());
            for key in keys.iter().map(AsRef::as_ref) {
                if seen.insert(key) {
                    addresses.push(self.address(key));
                }
            }
            let rows = self.read_rows(&addresses, View::Value).await?;
            let values: Vec<_> = rows.into_iter().flatten().filter_map(Self::key_and_value).collect();
            self.count_reads(values.iter().map(|(key, _)| &**key));
            Ok(values)
        };
        traced.end(result.await, |values| Seen::count(values.len()))
    }

    /// All records of the namespace in order of their keys; one consistent snapshot. Counts as a read of each.
    pub async fn get_all(&self) -> Result<Vec<(Box<str>, Json)>> {
        let mut values = Vec::new();
        self.get_all_in_pieces(PageSize::ALL, &mut |piece| values.extend(piece)).await?;
        Ok(values)
    }

    /// [`DataStore::get_all`], of which `each` gets piece by piece while the rest is being read: for those who have another
    /// thread to work on them meanwhile. Where this fails, `each` may have got some of it. `each` must not wait for a call
    /// on the same store.
    pub async fn get_all_in_pieces(
        &self,
        piece: PageSize,
        each: &mut (dyn FnMut(Vec<(Box<str>, Json)>) + Send),
    ) -> Result<()> {
        let traced = self.trace("get_all", "");
        let mut count = 0;
        let result = async {
            self.store.check_open()?;
            let mut each = |rows: Vec<Row>| {
                let values: Vec<_> = rows.into_iter().filter_map(Self::key_and_value).collect();
                self.count_reads(values.iter().map(|(key, _)| &**key));
                count += values.len();
                each(values);
            };
            self.store.engine.scan_all(&self.identity.user, &self.namespace, View::Value, piece, &mut each).await
        };
        let result = result.await;
        traced.end(result, |()| Seen::count(count))
    }

    /// One page of the records in `range`, in order of their keys. Counts as a read of each. To go on, pass the last key
    /// as `after`.
    pub async fn page(&self, range: Range<'_>, page: PageSize) -> Result<Page<(Box<str>, Json)>> {
        let traced = self.trace("items", range.prefix);
        let result = self.values_page(range, page).await;
        traced.end(result, |page| Seen::count(page.rows.len()))
    }

    /// One page of whole records in `range`, in order of their keys. Counts as a read of each.
    pub async fn records(&self, range: Range<'_>, page: PageSize) -> Result<Page<Record>> {
        let traced = self.trace("records", range.prefix);
        let result = async {
            let rows = self.scan(range, View::Record, page).await?;
            let records: Vec<_> = rows.rows.into_iter().filter_map(|row| self.record(row)).collect();
            self.count_reads(records.iter().map(|record| &*record.key));
            Ok(Page { rows: records, more: rows.more })
        };
        traced.end(result.await, |page| Seen::count(page.rows.len()))
    }

    /// The keys that start with `prefix`, in code point order; never cut short.
    pub async fn list_keys(&self, prefix: &str) -> Result<Vec<Box<str>>> {
        let traced = self.trace("list_keys", prefix);
        let result = async {
            let range = Range { prefix, after: None };
            let page = self.scan(range, View::Key, PageSize::ALL).await?;
            Ok(page.rows.into_iter().map(|row| row.key).collect::<Vec<_>>())
        };
        traced.end(result.await, |keys| Seen::count(keys.len()))
    }

    /// How many live records have a key that starts with `prefix`.
    pub async fn count(&self, prefix: &str) -> Result<u64> {
        let traced = self.trace("count", prefix);
        let result = async {
            self.store.check_open()?;
            self.store.engine.count(&self.identity.user, &self.namespace, prefix).await
        };
        traced.end(result.await, |count| Seen { count: Some(*count), ..Seen::default() })
    }

    /// The user's namespaces that start with `prefix` and hold a live record, in code point order.
    pub async fn list_namespaces(&self, prefix: &str) -> Result<Vec<Box<str>>> {
        let traced = self.trace_elsewhere("list_namespaces", prefix);
        let result = async {
            self.store.check_open()?;
            self.store.engine.namespace_names(&self.identity.user, prefix).await
        };
        traced.end(result.await, |names| Seen::count(names.len()))
    }

    /// Statistics of the user's namespaces that hold a live record, in code point order.
    pub async fn namespaces(&self) -> Result<Vec<NamespaceStats>> {
        let traced = self.trace_elsewhere("namespaces", "");
        let result = async { Ok(self.namespaces_page(Range::default(), PageSize::ALL).await?.rows) };
        traced.end(result.await, |stats| Seen::count(stats.len()))
    }

    /// Stores `value` under `key`, replacing what is there; returns the new version.
    ///
    /// # Errors
    /// `Conflict` where `if_version` does not hold, `TooLarge` above a limit.
    pub async fn set(&self, key: &str, value: Json, options: SetOptions) -> Result<Version> {
        let traced = self.trace("set", key);
        let preview = traced.is_on().then(|| value.clone());
        let result = self.put(key, value, options);
        traced.end(result.await, |_| Seen { value: preview, ..Seen::default() })
    }

    /// Stores all `items` or none, with the same metadata and time to live; returns how many.
    ///
    /// # Errors
    /// `TooLarge` above a limit, also for more than 100,000 items.
    pub async fn set_many<K: AsRef<str>>(
        &self,
        items: Vec<(K, Json)>,
        metadata: Option<Json>,
        ttl: Option<Duration>,
    ) -> Result<u64> {
        let traced = self.trace("set_many", "");
        let result = async {
            self.store.limits.check_batch(items.len())?;
            let metadata = self.checked_metadata(metadata)?;
            let expiry = expiry(ttl)?;
            let writes = items.into_iter().map(|(key, value)| {
                Ok(Write {
                    address: self.checked_address(key.as_ref())?,
                    precondition: Precondition::None,
                    metadata: metadata.clone(),
                    expiry,
                    mutation: Mutation::Set(self.checked_value(value)?),
                })
            });
            let outcomes = self.apply_brought(writes.collect::<Result<_>>()?).await?;
            Ok(outcomes.len() as u64)
        };
        traced.end(result.await, |count| Seen { count: Some(*count), ..Seen::default() })
    }

    /// Removes the record under `key`; whether a live one was there.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        let traced = self.trace("delete", key);
        let result = async { Ok(self.write_one(self.deletion(key)?).await?.existed) };
        traced.end(result.await, |found| Seen { found: Some(*found), ..Seen::default() })
    }

    /// Removes the records under `keys`, all together; returns how many live ones there were.
    ///
    /// # Errors
    /// `TooLarge` for more than 100,000 keys.
    pub async fn delete_many<K: AsRef<str>>(&self, keys: &[K]) -> Result<u64> {
        let traced = self.trace("delete_many", "");
        let result = async {
            self.store.limits.check_batch(keys.len())?;
            let writes = keys.iter().map(|key| self.deletion(key.as_ref())).collect::<Result<_>>()?;
            let outcomes = self.apply(writes).await?;
            Ok(outcomes.iter().filter(|outcome| outcome.existed).count() as u64)
        };
        traced.end(result.await, |count| Seen { count: Some(*count), ..Seen::default() })
    }

    /// Removes every record of the namespace, in time independent of their number; returns how many live ones there were.
    pub async fn clear(&self) -> Result<u64> {
        let traced = self.trace("clear", "");
        let result = async {
            self.store.check_open()?;
            let request = self.take_request()?;
            let Identity { user, agent } = &self.identity;
            let cleared = self.store.engine.clear(user, agent.as_deref(), &self.namespace, request.as_ref()).await?;
            self.store.wake_housekeeper();
            Ok(cleared)
        };
        traced.end(result.await, |count| Seen { count: Some(*count), ..Seen::default() })
    }

    /// Applies writes to any of the user's namespaces, all together or not at all; one outcome for each, in order.
    ///
    /// # Errors
    /// `Conflict` names the first record whose precondition failed; `TooLarge` above a limit; `InvalidArgument` where a
    /// value is of the wrong kind for a mutation.
    pub async fn write(&self, writes: Vec<Write>) -> Result<Vec<Outcome>> {
        let traced = self.trace("write", "");
        let result = async {
            self.store.limits.check_batch(writes.len())?;
            let checked = writes.into_iter().map(|write| self.checked_write(write)).collect::<Result<_>>()?;
            self.apply_brought(checked).await
        };
        traced.end(result.await, |outcomes| Seen::count(outcomes.len()))
    }

    async fn read_one(&self, key: &str, view: View) -> Result<Option<Row>> {
        self.store.check_open()?;
        let row = self.store.engine.read_one(&self.identity.user, &self.namespace, key, view).await?;
        self.count_read(key, row.as_ref());
        Ok(row)
    }

    fn count_read(&self, key: &str, row: Option<&Row>) {
        if row.is_some() {
            self.count_reads([key]);
        }
    }

    /// Value and version, for calls that write what they make of it; not counted as a read.
    pub(crate) async fn versioned(&self, key: &str) -> Result<Option<(Json, Version)>> {
        Ok(self.current(key).await?.map(|(value, version, _)| (value, version)))
    }

    /// Value, version and expiry; not counted as a read.
    pub(crate) async fn current(&self, key: &str) -> Result<Option<(Json, Version, Option<Timestamp>)>> {
        self.store.check_open()?;
        check_key(key)?;
        let row = self.store.engine.read_one(&self.identity.user, &self.namespace, key, View::Value).await?;
        Ok(row.and_then(|row| Some((row.value?, row.version, row.expires_at))))
    }

    pub(crate) fn access_buffer(&self) -> Option<&AccessBuffer> {
        self.reads.as_deref()
    }

    /// `set` without a trace of its own.
    pub(crate) async fn put(&self, key: &str, value: Json, options: SetOptions) -> Result<Version> {
        let precondition = options.if_version.map_or(Precondition::None, Precondition::Version);
        let write = Write {
            address: self.checked_address(key)?,
            precondition,
            metadata: self.checked_metadata(options.metadata)?,
            expiry: expiry(options.ttl)?,
            mutation: Mutation::Set(self.checked_value(value)?),
        };
        Ok(self.write_one(write).await?.version)
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        self.store.check_open()
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        &*self.store.engine
    }

    pub(crate) fn held_locks(&self) -> &HeldLocks {
        &self.store.held_locks
    }

    pub(crate) fn warning_sink(&self) -> Option<&dyn WarningSink> {
        self.store.warnings.as_deref()
    }

    /// The present moment by the store's clock.
    pub fn now(&self) -> Timestamp {
        self.store.clock.now()
    }

    async fn values_page(&self, range: Range<'_>, page: PageSize) -> Result<Page<(Box<str>, Json)>> {
        let page = self.scan(range, View::Value, page).await?;
        let values: Vec<_> = page.rows.into_iter().filter_map(Self::key_and_value).collect();
        self.count_reads(values.iter().map(|(key, _)| &**key));
        Ok(Page { rows: values, more: page.more })
    }

    pub(crate) async fn write_one(&self, write: Write) -> Result<Outcome> {
        only(self.apply_brought(vec![write]).await?)
    }

    /// [`DataStore::apply`] for one write.
    pub(crate) async fn apply_one(&self, write: Write) -> Result<Outcome> {
        only(self.apply(vec![write]).await?)
    }

    /// Applies what a caller brings, within the policy for likely credentials.
    pub(crate) async fn apply_brought(&self, writes: Vec<Write>) -> Result<Vec<Outcome>> {
        let warnings = self.look_for_secrets(&writes)?;
        let outcomes = self.apply(writes).await?;
        self.warn_of_secrets(&warnings);
        Ok(outcomes)
    }

    /// Applies as it is; for bookkeeping, and for moving what is stored already.
    pub(crate) async fn apply(&self, writes: Vec<Write>) -> Result<Vec<Outcome>> {
        self.store.check_open()?;
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let Identity { user, agent } = self.identity.clone();
        let request = self.take_request()?;
        self.store.engine.write(Batch { user, agent, writes, request, quota: self.quota }).await
    }

    /// The request id for the write that is about to be made.
    fn take_request(&self) -> Result<Option<RequestId>> {
        self.request.as_ref().map(|request| request.take()).transpose()
    }

    fn deletion(&self, key: &str) -> Result<Write> {
        Ok(Write {
            address: self.checked_address(key)?,
            precondition: Precondition::None,
            metadata: None,
            expiry: Expiry::Default,
            mutation: Mutation::Delete,
        })
    }

    pub(crate) fn checked_write(&self, write: Write) -> Result<Write> {
        check_namespace(&write.address.namespace)?;
        check_key(&write.address.key)?;
        let mutation = match write.mutation {
            Mutation::Set(value) => Mutation::Set(self.checked_value(value)?),
            Mutation::Merge(patch) => Mutation::Merge(self.checked_value(patch)?),
            Mutation::Append { items, unique, max_length } => {
                Mutation::Append { items: self.checked_value(items)?, unique, max_length }
            }
            other => other,
        };
        let expiry = match write.expiry {
            Expiry::After(ttl) => expiry(Some(ttl))?,
            other => other,
        };
        Ok(Write { metadata: self.checked_metadata(write.metadata)?, mutation, expiry, ..write })
    }

    fn checked_value(&self, value: Json) -> Result<Json> {
        self.store.limits.check_value_size(value.len())?;
        Ok(value)
    }

    fn checked_metadata(&self, metadata: Option<Json>) -> Result<Option<Json>> {
        let Some(metadata) = metadata else { return Ok(None) };
        if !metadata.is_object() {
            return Err(Error::invalid("metadata is not an object: give a dict with string keys"));
        }
        self.store.limits.check_metadata_size(metadata.len())?;
        Ok((metadata.as_str() != "{}").then_some(metadata))
    }

    fn address(&self, key: &str) -> Address {
        Address { namespace: Arc::clone(&self.namespace), key: key.into() }
    }

    pub(crate) fn checked_address(&self, key: &str) -> Result<Address> {
        check_key(key)?;
        Ok(self.address(key))
    }

    fn record(&self, row: Row) -> Option<Record> {
        let details = *row.details?;
        Some(Record {
            user_id: Arc::clone(&self.identity.user),
            namespace: Arc::clone(&self.namespace),
            key: row.key,
            value: row.value?,
            metadata: details.metadata,
            version: row.version,
            created_by_agent: details.created_by_agent,
            updated_by_agent: details.updated_by_agent,
            last_accessed_by_agent: details.last_accessed_by_agent,
            access_count: details.access_count,
            created_at: details.created_at,
            updated_at: details.updated_at,
            last_accessed_at: details.last_accessed_at,
            expires_at: row.expires_at,
        })
    }

    fn key_and_value(row: Row) -> Option<(Box<str>, Json)> {
        Some((row.key, row.value?))
    }

    pub(crate) fn trace<'a>(&'a self, verb: &'static str, key: &'a str) -> Traced<'a> {
        Traced::begin(self.observer.as_deref(), &*self.store.clock, verb, &self.namespace, key)
    }

    /// For verbs that concern no single namespace.
    fn trace_elsewhere<'a>(&'a self, verb: &'static str, key: &'a str) -> Traced<'a> {
        Traced::begin(self.observer.as_deref(), &*self.store.clock, verb, "", key)
    }
}

impl fmt::Debug for DataStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataStore")
            .field("identity", &self.identity)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

fn only(outcomes: Vec<Outcome>) -> Result<Outcome> {
    outcomes.into_iter().next().ok_or_else(|| Error::corrupt("the engine gave no outcome for a write"))
}

pub(crate) fn expiry(ttl: Option<Duration>) -> Result<Expiry> {
    match ttl {
        None => Ok(Expiry::Default),
        Some(ttl) if ttl.as_micros() == 0 => {
            Err(Error::invalid("ttl is not positive: give at least one microsecond, or delete the key"))
        }
        Some(ttl) => Ok(Expiry::After(ttl)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Store, block_on};

    #[test]
    fn a_quota_that_limits_nothing_is_none() {
        let options = Options { housekeeping: false, ..Options::default() };
        let store = block_on(Store::open("memory:", options)).expect("a store");
        let view = store.data_store(Identity::new("user", None).expect("an identity"), "default").expect("a view");
        assert_eq!(view.clone().with_quota(Quota::default()).quota, None);
        let quota = Quota { records: Some(1), bytes: None };
        assert_eq!(view.with_quota(quota).with_quota(Quota::default()).quota, Some(quota));
    }
}
