//! Reads that were made elsewhere: a remote client gathers its own and brings them now and then.

use std::borrow::Cow;
use std::sync::Arc;

use agent_data_store::Timestamp;
use agent_data_store::model::{Access, Address};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::no_content;
use crate::body::{JsonBody, Whole, entries};
use crate::caller::Caller;
use crate::error::{Failure, Result};
use crate::schemas::{AgentName, Key, NamespaceName};

/// In one entry: far from where a count of reads would run over.
const MOST_READS: u64 = 1_000_000_000;

/// Reads that were gathered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatheredReads<'a> {
    #[serde(borrow, deserialize_with = "entries")]
    #[schema(max_items = 100_000)]
    reads: Vec<ReadsOfRecord<'a>>,
}

/// Reads of one record.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReadsOfRecord<'a> {
    #[serde(borrow)]
    #[schema(value_type = NamespaceName)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    #[schema(value_type = Key)]
    key: Cow<'a, str>,
    /// Who read it last; without it the agent that calls.
    #[serde(borrow)]
    #[schema(value_type = Option<AgentName>)]
    agent: Option<Cow<'a, str>>,
    /// How often: at most 1,000,000,000 times.
    #[schema(value_type = u64, maximum = 1_000_000_000)]
    count: Whole,
    /// When it was read last.
    #[serde(borrow)]
    #[schema(format = DateTime)]
    last_at: Cow<'a, str>,
}

/// Counts reads that were made elsewhere, such as in a client's cache.
#[utoipa::path(
    post, path = "/data-store/access", tag = "many at once", operation_id = "record_access",
    request_body = GatheredReads<'_>, responses((status = 204, description = "They are counted")),
)]
pub(crate) async fn record(caller: Caller, body: JsonBody) -> Result {
    let identity = caller.identity();
    let user: Arc<str> = Arc::from(identity.user());
    let accesses = body.parse::<GatheredReads<'_>>()?.reads.into_iter().map(|reads| {
        let ReadsOfRecord { namespace, key, agent, count, last_at } = reads;
        if let Some(agent) = &agent {
            caller.permit().check_agent(agent)?;
        }
        if count.0 > MOST_READS {
            return Err(Failure::invalid(format!("count is over {MOST_READS}: send fewer at once")));
        }
        let agent = agent.as_deref().or(identity.agent());
        Ok(Access {
            user: Arc::clone(&user),
            address: Address { namespace: Arc::from(&*namespace), key: (&*key).into() },
            agent: agent.map(Arc::from).ok_or_else(|| {
                Failure::invalid("reads by no agent are not counted: name it in agent or in X-Agent-Name")
            })?,
            count: count.0,
            last_at: Timestamp::parse(&last_at)
                .ok_or_else(|| Failure::invalid("lastAt is not a time: write 2026-01-31T12:00:00.000000Z"))?,
        })
    });
    let accesses = accesses.collect::<Result<Vec<_>>>()?;
    let namespaces = accesses.iter().map(|access| &*access.address.namespace);
    caller.counter(namespaces)?.record_access(accesses).await?;
    Ok(no_content())
}
