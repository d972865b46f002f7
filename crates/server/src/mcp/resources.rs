//! Records as resources that a client can list, read and complete.

use agent_data_store::model::{PageSize, Range, View};
use agent_data_store::{Result, wire};
use rmcp::ErrorData;
use rmcp::model::{
    CompleteRequestParams, CompletionInfo, ListResourcesResult, ReadResourceResult, Reference, Resource,
    ResourceContents, ResourceTemplate,
};

use super::arguments::invalid;
use super::bounds::{Place, Rows, fits, no_cursor, piece};
use super::errors::protocol_error;
use super::keys::position;
use super::uri::{self, TEMPLATE, Target};
use crate::caller::Caller;
use crate::visible;

const JSON: &str = "application/json";
/// What is said around the part of a long value takes less than this, beside its URI.
const FRAME: usize = 600;
/// How many keys are read at once.
const PAGE: PageSize = PageSize { rows: 64, bytes: 256 << 10 };
/// How many namespaces.
const NAMESPACES: usize = 1_000;
/// How many values a completion may offer.
const OFFERED: usize = CompletionInfo::MAX_VALUES;

pub(super) fn template() -> ResourceTemplate {
    ResourceTemplate::new(TEMPLATE, "record")
        .with_title("A record of the store")
        .with_description("The JSON value under a key of a namespace. Both names are percent-encoded.")
        .with_mime_type(JSON)
}

/// One page of all records that the caller reaches.
pub(super) async fn list(caller: &Caller, cursor: Option<&str>, bound: usize) -> Result<ListResourcesResult> {
    let begin: Option<(String, String)> =
        cursor.map(|cursor| serde_json::from_str(cursor).map_err(|_| no_cursor())).transpose()?;
    let mut listing = Listing { rows: Rows::within(bound, ""), resources: Vec::new(), at: None };
    let is_whole = listing.all(caller, begin).await?;
    let mut result = ListResourcesResult::with_all_items(listing.resources);
    result.next_cursor = listing.at.filter(|_| !is_whole).map(|(namespace, key)| position(&namespace, &key));
    Ok(result)
}

/// A list that is being made.
struct Listing {
    rows: Rows,
    resources: Vec<Resource>,
    /// The last record in it.
    at: Option<(String, String)>,
}

impl Listing {
    async fn all(&mut self, caller: &Caller, begin: Option<(String, String)>) -> Result<bool> {
        let view = caller.reader_of_all()?;
        let mut after = None;
        if let Some((namespace, key)) = begin {
            if !self.of_namespace(caller, &namespace, Some(key)).await? {
                return Ok(false);
            }
            after = Some(namespace);
        }
        loop {
            let range = Range { prefix: "", after: after.as_deref() };
            let page = visible::namespaces(caller.permit(), &view, range, NAMESPACES).await?;
            for stats in page.rows {
                if !self.of_namespace(caller, &stats.namespace, None).await? {
                    return Ok(false);
                }
                after = Some(stats.namespace.into_string());
            }
            if !page.more {
                return Ok(true);
            }
        }
    }

    /// Adds the records of a namespace; whether there was room for all.
    async fn of_namespace(&mut self, caller: &Caller, namespace: &str, mut after: Option<String>) -> Result<bool> {
        let view = caller.reader(namespace)?;
        loop {
            let page = view.scan(Range { prefix: "", after: after.as_deref() }, View::Key, PAGE).await?;
            for row in page.rows {
                let resource = Resource::new(uri::of_record(namespace, &row.key), &*row.key)
                    .with_description(format!("in namespace {namespace}"))
                    .with_mime_type(JSON);
                let text = serde_json::to_string(&resource).map_err(|error| invalid(error.to_string()))?;
                if !self.rows.push(&text, &position(namespace, &row.key)) {
                    return Ok(false);
                }
                self.resources.push(resource);
                self.at = Some((namespace.to_owned(), row.key.to_string()));
                after = Some(row.key.into_string());
            }
            if !page.more {
                return Ok(true);
            }
        }
    }
}

/// The value of a record. A long one is given in parts, each with the URI of the next.
pub(super) async fn read(caller: &Caller, uri: &str, bound: usize) -> Result<ReadResourceResult, ErrorData> {
    let Target { namespace, key, cursor } = uri::parse(uri).map_err(|error| protocol_error(&error))?;
    let place = cursor.as_deref().map(Place::parse).transpose().map_err(|error| protocol_error(&error))?;
    let found = async {
        let view = caller.reader(&namespace)?;
        let row = view.read_row(&key, View::Value).await?;
        view.count_reads(row.iter().map(|_| &*key));
        Ok(row)
    };
    let row = found.await.map_err(|error| protocol_error(&error))?;
    let Some((value, version)) = row.and_then(|row| Some((row.value?, row.version))) else {
        let message =
            format!("there is no record {key:?} in namespace {namespace:?}: resources/list shows those there are");
        return Err(ErrorData::resource_not_found(message, None));
    };
    if place.is_none() && fits(value.as_str(), bound) {
        let contents = ResourceContents::text(value.as_str(), uri).with_mime_type(JSON);
        return Ok(ReadResourceResult::new(vec![contents]));
    }
    let place = place.unwrap_or(Place { version, from: 0 });
    if place.version != version {
        return Err(protocol_error(&invalid("the record was written since the last part was read: begin anew")));
    }
    // With the part, as where the next one is, and in the words that say so.
    let room = bound.saturating_sub(FRAME + 3 * uri::of_record(&namespace, &key).len());
    let part = piece(value.as_str(), place, room).map_err(|error| protocol_error(&error))?;
    let mut contents = vec![ResourceContents::text(part.text, uri)];
    let all = super::bounds::characters(value.as_str());
    if let Some(next) = &part.next {
        let next = uri::of_part(&namespace, &key, next);
        let note = format!(
            "This was a part of the record's JSON, which has {all} characters: it goes on at {next}. The tool get reads \
             single parts by their path."
        );
        contents.push(ResourceContents::text(note, next));
    }
    Ok(ReadResourceResult::new(contents))
}

/// Names that begin like what has been typed.
pub(super) async fn complete(caller: &Caller, request: &CompleteRequestParams, bound: usize) -> Result<CompletionInfo> {
    match &request.r#ref {
        Reference::Resource(reference) if reference.uri == TEMPLATE => {}
        _ => return Err(invalid(format!("names are completed in the resource template {TEMPLATE} alone"))),
    }
    let typed = &*request.argument.value;
    match &*request.argument.name {
        "namespace" => {
            let view = caller.reader_of_all()?;
            let page =
                visible::namespaces(caller.permit(), &view, Range { prefix: typed, after: None }, OFFERED).await?;
            Ok(offered(page.rows.into_iter().map(|stats| stats.namespace), page.more, None, bound))
        }
        "key" => {
            let namespace = request.context.as_ref().and_then(|context| context.get_argument("namespace"));
            let namespace =
                namespace.ok_or_else(|| invalid("the namespace is not known: send it in context.arguments"))?;
            let view = caller.reader(namespace)?;
            let page = PageSize { rows: OFFERED, bytes: usize::MAX };
            let page = view.scan(Range { prefix: typed, after: None }, View::Key, page).await?;
            let total = view.count(typed).await?;
            Ok(offered(page.rows.into_iter().map(|row| row.key), page.more, Some(total), bound))
        }
        other => Err(invalid(format!("the template has no argument {other:?}: it has namespace and key"))),
    }
}

/// As many of these as fit an answer.
fn offered(names: impl Iterator<Item = Box<str>>, more: bool, total: Option<u64>, bound: usize) -> CompletionInfo {
    let mut rows = Rows::within(bound, "");
    let mut info = CompletionInfo::default();
    info.has_more = Some(more);
    for name in names {
        if !rows.push(wire::string(&name).as_str(), "") {
            info.has_more = Some(true);
            break;
        }
        info.values.push(name.into_string());
    }
    info.total = total.and_then(|total| u32::try_from(total).ok());
    info
}
