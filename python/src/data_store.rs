//! The class `DataStore`.

use std::sync::{Arc, Mutex, PoisonError};

use agent_data_store::limits::{check_agent, check_namespace, check_user};
use agent_data_store::{DataStore, Error, ErrorKind, Identity, Json, Result, SetOptions, Token, block_on, default_url};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::errors::{raise, refused};
use crate::fork::{self, Opened};
use crate::items::Items;
use crate::records;
use crate::{arguments, bulk, secrets};

/// A user's records in one namespace, as one agent reads and writes them.
///
/// Made by `connect`; agents find one as `data_store`. Synchronous, and safe to share between threads; `aio`
/// has the same verbs as coroutines. After a `fork`, parent and child both go on using it.
///
/// A key is 1 to 1,024 bytes of UTF-8 without NUL. A value is what `json.dumps` takes, at most 16 MiB as JSON
/// text and nested at most 128 deep; tuples come back as lists, and dict keys of type int, float, bool and None
/// as strings.
///
/// Every verb may raise `InvalidArgumentError` (a name outside of the limits, a closed store),
/// `UnavailableError` (the store is busy past its deadline, the disk is full) and `CorruptStoreError`; only
/// further errors are named at the verbs.
#[pyclass(frozen, immutable_type, name = "DataStore", module = "agent_data_store")]
pub(crate) struct PyDataStore {
    pub(crate) view: DataStore,
    pub(crate) opened: Arc<Opened>,
}

/// A write that is checked and encoded, and waits to be made: the part that may be left to another thread.
#[pyclass(frozen, immutable_type, module = "agent_data_store._native")]
pub(crate) struct PreparedWrite(Mutex<Option<Work>>);

type Work = Box<dyn FnOnce() -> Result<Option<u64>> + Send>;

#[pymethods]
impl PreparedWrite {
    fn run(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        let work = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let work = work.ok_or_else(|| {
            raise(py, &Error::new(ErrorKind::InvalidArgument, "this write was made already: prepare another"))
        })?;
        run(py, work)
    }
}

/// Runs `work` without the interpreter lock.
pub(crate) fn run<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    let result = py.detach(work).map_err(|error| {
        secrets::forget();
        raise(py, &error)
    })?;
    secrets::warn(py)?;
    Ok(result)
}

impl PyDataStore {
    pub(crate) fn new(view: DataStore, opened: Arc<Opened>) -> Self {
        Self { view, opened }
    }

    fn set_work(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
        if_version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<impl FnOnce() -> Result<Option<u64>> + Send + use<>> {
        let (key, value, options) = set_arguments(&self.view, key, value, metadata, ttl, if_version)?;
        let view = self.view.clone();
        Ok(move || block_on(view.set(&key, value, options)).map(|_version| None))
    }

    fn set_many_work(
        &self,
        items: &Bound<'_, PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<impl FnOnce() -> Result<Option<u64>> + Send + use<>> {
        let py = items.py();
        let limits = self.view.limits();
        let metadata = arguments::optional_dict("metadata", metadata)?;
        let ttl = arguments::ttl(ttl)?;
        let metadata = arguments::metadata(metadata, limits)
            .map_err(|refusal| refused(py, refusal, "metadata", |error| error.during("set_many")))?;
        let encoded = arguments::pairs(items)?.iter().map(|pair| {
            let (key, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            let key = arguments::text("key", &key)?;
            let value = arguments::value(&value, limits).map_err(|refusal| {
                refused(py, refusal, &format!("value of key {key:?}"), |error| self.at("set_many", key, error))
            })?;
            Ok((key.to_owned(), value))
        });
        let items = encoded.collect::<PyResult<Vec<_>>>()?;
        let view = self.view.clone();
        Ok(move || block_on(view.set_many(items, metadata, ttl)).map(Some))
    }

    fn at(&self, operation: &'static str, key: &str, error: Error) -> Error {
        error.during(operation).at(self.view.namespace(), key)
    }
}

/// The arguments of `set`, checked and encoded.
pub(crate) fn set_arguments(
    view: &DataStore,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    metadata: Option<&Bound<'_, PyAny>>,
    ttl: Option<&Bound<'_, PyAny>>,
    if_version: Option<&Bound<'_, PyAny>>,
) -> PyResult<(String, Json, SetOptions)> {
    let py = key.py();
    let limits = view.limits();
    let key = arguments::text("key", key)?.to_owned();
    let metadata = arguments::optional_dict("metadata", metadata)?;
    let (ttl, if_version) = (arguments::ttl(ttl)?, arguments::if_version(if_version)?);
    let refused = |refusal, what| refused(py, refusal, what, |error| error.during("set").at(view.namespace(), &key));
    let metadata = arguments::metadata(metadata, limits).map_err(|refusal| refused(refusal, "metadata"))?;
    let value = arguments::value(value, limits).map_err(|refusal| refused(refusal, "value"))?;
    Ok((key, value, SetOptions { metadata, ttl, if_version }))
}

#[pymethods]
impl PyDataStore {
    /// The value under `key`, or `default` where there is none.
    ///
    /// A stored `None` comes back as `None`, not as `default`. Counts as a read of the record.
    #[pyo3(signature = (key, default = None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let key = arguments::text("key", key)?;
        // Giving up the interpreter lock and taking it back costs more than a value that is at hand.
        let at_hand = fork::may_keep_interpreter(py).then(|| self.view.get_if_at_hand(key)).flatten();
        let value = match at_hand {
            Some(value) => value.map_err(|error| raise(py, &error)),
            None => run(py, || block_on(self.view.get(key))),
        };
        match value? {
            Some(value) => records::stored_value(py, key, &value),
            None => Ok(default.unwrap_or_else(|| py.None().into_bound(py))),
        }
    }

    /// Stores `value` under `key`, replacing what is there.
    ///
    /// `metadata`: a dict of at most 64 KiB as JSON, merged key by key into what is there; `None` or `{}` leaves
    /// it. `ttl`: how long the record lives, in seconds or as a `timedelta`; without it, until it is deleted, also
    /// where the record had an expiry before. `if_version`: write only if the record has this version, 0 for "only
    /// if absent".
    ///
    /// Raises `NotSerializableError` (a `TypeError`) for a value that JSON cannot hold, `InvalidArgumentError` (a
    /// `ValueError`) for NaN, infinities, lone surrogates and circles, `TooLargeError` above a limit,
    /// `ConflictError` where `if_version` does not hold. Nothing is stored then.
    #[pyo3(signature = (key, value, metadata = None, *, ttl = None, if_version = None))]
    fn set(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
        if_version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        run(py, self.set_work(key, value, metadata, ttl, if_version)?).map(|_| ())
    }

    #[pyo3(signature = (key, value, metadata = None, *, ttl = None, if_version = None))]
    fn _prepare_set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
        if_version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PreparedWrite> {
        let work = self.set_work(key, value, metadata, ttl, if_version)?;
        Ok(PreparedWrite(Mutex::new(Some(Box::new(work)))))
    }

    /// Removes the record under `key`; `True` if a live one was there.
    fn delete(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = arguments::text("key", key)?;
        run(py, || block_on(self.view.delete(key)))
    }

    /// All keys that start with `prefix`, sorted by code point; never cut short.
    #[pyo3(signature = (prefix = None))]
    fn list_keys<'py>(&self, py: Python<'py>, prefix: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyList>> {
        let prefix = arguments::optional_text("prefix", prefix)?.unwrap_or_default();
        let keys = run(py, || block_on(self.view.list_keys(prefix)))?;
        PyList::new(py, keys.iter().map(|key| PyString::new(py, key)))
    }

    /// The user's namespaces that start with `prefix` and hold a live record, sorted by code point.
    #[pyo3(signature = (prefix = None))]
    fn list_namespaces<'py>(
        &self,
        py: Python<'py>,
        prefix: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let prefix = arguments::optional_text("prefix", prefix)?.unwrap_or_default();
        let names = run(py, || block_on(self.view.list_namespaces(prefix)))?;
        PyList::new(py, names.iter().map(|name| PyString::new(py, name)))
    }

    /// The same store, user and agent in another namespace; this object is unchanged.
    ///
    /// A namespace is 1 to 512 bytes of UTF-8 without NUL. It needs no creating: it exists while it holds a record.
    ///
    /// `secrets`: what becomes of a write that seems to hold a credential, such as an API key. `"allow"` stores it,
    /// `"warn"` stores it and issues a `SecretsWarning`, `"refuse"` raises `InvalidArgumentError`. Left out, it stays
    /// as with this object; the first one has the policy in the URL of the store, `?secrets=…`, else `"warn"`. It
    /// holds for what is written with the new object, and those that are made from it.
    #[pyo3(signature = (namespace, *, secrets = None))]
    fn use_namespace(
        &self,
        py: Python<'_>,
        namespace: &Bound<'_, PyAny>,
        secrets: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let namespace = arguments::text("namespace", namespace)?;
        let secrets = secrets::policy(secrets)?.unwrap_or_else(|| self.view.secrets_policy());
        let view = run(py, || self.view.use_namespace(namespace))?;
        Ok(Self::new(view.with_secrets_policy(secrets), Arc::clone(&self.opened)))
    }

    /// All records of the namespace as `{key: value}`, sorted by key; one consistent snapshot.
    ///
    /// Counts as a read of each. Holds the whole namespace in memory; `items` does not.
    fn get_all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        bulk::all(py, &self.view)
    }

    /// The records under `keys` as `{key: value}` in that order, missing ones left out; one consistent snapshot.
    ///
    /// Counts as a read of each. Raises `TooLargeError` for more than 100,000 keys.
    fn get_many<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let keys = arguments::keys(keys)?;
        bulk::dict(py, run(py, || block_on(self.view.get_many(&keys)))?)
    }

    /// Stores all `items`, a dict or an iterable of (key, value), or none; returns how many.
    ///
    /// `metadata` and `ttl` are as in `set` and apply to each. Raises what `set` raises, and `TooLargeError` for
    /// more than 100,000 items.
    #[pyo3(signature = (items, metadata = None, *, ttl = None))]
    fn set_many(
        &self,
        py: Python<'_>,
        items: &Bound<'_, PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        run(py, self.set_many_work(items, metadata, ttl)?).map(Option::unwrap_or_default)
    }

    #[pyo3(signature = (items, metadata = None, *, ttl = None))]
    fn _prepare_set_many(
        &self,
        items: &Bound<'_, PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PreparedWrite> {
        let work = self.set_many_work(items, metadata, ttl)?;
        Ok(PreparedWrite(Mutex::new(Some(Box::new(work)))))
    }

    /// Removes the records under `keys`, all together; returns how many live ones there were.
    ///
    /// Raises `TooLargeError` for more than 100,000 keys.
    fn delete_many(&self, py: Python<'_>, keys: &Bound<'_, PyAny>) -> PyResult<u64> {
        let keys = arguments::keys(keys)?;
        run(py, || block_on(self.view.delete_many(&keys)))
    }

    /// Removes every record of the namespace; returns how many live ones there were.
    ///
    /// Takes the same time however many they are.
    fn clear(&self, py: Python<'_>) -> PyResult<u64> {
        run(py, || block_on(self.view.clear()))
    }

    /// The whole record under `key` with its bookkeeping, or `None`. Counts as a read of it.
    fn get_record<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let key = arguments::text("key", key)?;
        let record = run(py, || block_on(self.view.get_record(key)))?;
        record.map(|record| records::record(py, &record)).transpose()
    }

    /// An iterator over (key, value), sorted by key, of the records whose key starts with `prefix`.
    ///
    /// Reads pages of at most `page_size` records and 1 MiB of text, so it never holds the whole namespace. Each
    /// page is a snapshot of its own: a record that is written meanwhile may be seen in its old or its new state.
    /// Counts as a read of each.
    #[pyo3(
        signature = (prefix = None, *, page_size = None),
        text_signature = "($self, prefix=None, *, page_size=1000)"
    )]
    fn items(&self, prefix: Option<&Bound<'_, PyAny>>, page_size: Option<&Bound<'_, PyAny>>) -> PyResult<Items> {
        let prefix = arguments::optional_text("prefix", prefix)?.unwrap_or_default().to_owned();
        let page_rows = page_size.map_or(Ok(1_000), arguments::page_size)?;
        Ok(Items::new(self.view.clone(), prefix, page_rows))
    }

    /// How many live records have a key that starts with `prefix`.
    #[pyo3(signature = (prefix = None))]
    fn count(&self, py: Python<'_>, prefix: Option<&Bound<'_, PyAny>>) -> PyResult<u64> {
        let prefix = arguments::optional_text("prefix", prefix)?.unwrap_or_default();
        run(py, || block_on(self.view.count(prefix)))
    }

    /// Statistics of each of the user's namespaces that hold a live record, sorted by name.
    ///
    /// Takes no reading of records.
    fn namespaces<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let stats = run(py, || block_on(self.view.namespaces()))?;
        stats.iter().map(|stats| records::namespace_stats(py, stats)).collect()
    }

    /// The same verbs as coroutines: an `AsyncDataStore`.
    #[getter]
    fn aio<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        py.import(intern!(py, "agent_data_store._aio"))?.call_method1(intern!(py, "AsyncDataStore"), (this,))
    }

    /// The owner of the records.
    #[getter]
    fn user(&self) -> &str {
        self.view.identity().user()
    }

    /// The agent that reads and writes.
    #[getter]
    fn agent(&self) -> Option<&str> {
        self.view.identity().agent()
    }

    /// The namespace of this object.
    #[getter]
    fn namespace(&self) -> &str {
        self.view.namespace()
    }

    /// Whether the engine answers on the calling thread, so that a short read needs no other one.
    #[getter]
    fn _is_inline(&self) -> bool {
        self.opened.store.engine().is_inline()
    }

    /// Writes what is gathered in memory, releases locks, and lets go of the store, also for all objects made by
    /// `use_namespace`.
    ///
    /// Later calls raise `InvalidArgumentError`; closing twice does nothing. Happens by itself when the last of
    /// these objects goes, and when the interpreter exits.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        run(py, || self.opened.close())
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (exception_type, exception, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exception_type: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exception_type, exception, traceback);
        self.close(py)
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<String> {
        let shown = |text: &str| PyString::new(py, text).repr().map(|repr| repr.to_string());
        let agent = self.agent().map_or_else(|| Ok("None".to_owned()), shown)?;
        Ok(format!("DataStore(user={}, agent={agent}, namespace={})", shown(self.user())?, shown(self.namespace())?))
    }
}

const DEFAULT_NAMESPACE: &str = "default";
const DEFAULT_AGENT: &str = "unknown";

fn is_server(url: &str) -> bool {
    url.starts_with("http:") || url.starts_with("https:")
}

/// Opens a store and returns an agent's view of it.
///
/// `url`: `sqlite:///absolute/path.db` (with `?durability=relaxed`, the last moments before a power cut may be
/// lost), `memory:`, `postgresql://user:password@host/database`, or that of a server, `http://host:port` or
/// `https://host:port`, each with `?secrets=allow`, `warn` or `refuse` (see `DataStore.use_namespace`); left
/// out, the environment's `AGENT_DATA_STORE_URL`, else one file in the platform's data folder. `user`, `agent`
/// and `namespace` that are left out come from `AGENT_DATA_STORE_USER`, `_AGENT` and `_NAMESPACE`, else they
/// are those of the token, else "default", "unknown" and "default". `user` and `agent` are 1 to 256 bytes of
/// UTF-8 without NUL. `token`, or else `AGENT_DATA_STORE_TOKEN`, is for a server; a store without one takes
/// none.
///
/// The result is a context manager that closes the store. Raises `InvalidArgumentError` for a URL or a name
/// that cannot be, `CorruptStoreError` for a file that is damaged, not a store or newer than this version,
/// `PermissionDeniedError` for a token that the server does not know, and `UnavailableError` where the store
/// cannot be reached; a file is then untouched.
#[pyfunction]
#[pyo3(signature = (url = None, *, user = None, agent = None, namespace = None, token = None))]
pub(crate) fn connect(
    py: Python<'_>,
    url: Option<&Bound<'_, PyAny>>,
    user: Option<&Bound<'_, PyAny>>,
    agent: Option<&Bound<'_, PyAny>>,
    namespace: Option<&Bound<'_, PyAny>>,
    token: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyDataStore> {
    let given = |what, value, variable| match arguments::optional_text(what, value)? {
        Some(text) => Ok(Some(text.to_owned())),
        None => arguments::environment(py, variable),
    };
    let user: PyResult<Option<String>> = given("user", user, "AGENT_DATA_STORE_USER");
    let agent: PyResult<Option<String>> = given("agent", agent, "AGENT_DATA_STORE_AGENT");
    let namespace: PyResult<Option<String>> = given("namespace", namespace, "AGENT_DATA_STORE_NAMESPACE");
    let (user, agent, namespace) = (user?, agent?, namespace?.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()));
    let url = arguments::optional_text("url", url)?;
    let token = arguments::optional_text("token", token)?;
    run(py, || {
        // Before anything is opened: a wrong call must not create a file.
        user.as_deref().map_or(Ok(()), check_user)?;
        agent.as_deref().map_or(Ok(()), check_agent)?;
        check_namespace(&namespace)?;
        let url = url.map_or_else(default_url, |url| Ok(url.to_owned()))?;
        let token = match token {
            Some(_) if !is_server(&url) => {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "token is for a server, and the store URL is none of one: leave it out",
                ));
            }
            Some(token) => Some(Token::new(token)?),
            None => Token::from_environment()?,
        };
        let opened = Opened::open(&url, token)?;
        let of_token = opened.store.caller().and_then(Identity::agent);
        let agent = agent.as_deref().or(of_token).unwrap_or(DEFAULT_AGENT);
        let identity = opened.store.identity(user.as_deref(), Some(agent))?;
        let view = opened.store.data_store(identity, &namespace)?;
        Ok(PyDataStore::new(view, opened))
    })
}
