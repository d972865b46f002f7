//! Reads that were made elsewhere: a remote client gathers its own and brings them now and then.

use std::borrow::Cow;
use std::sync::Arc;

use agent_data_store::Timestamp;
use agent_data_store::model::{Access, Address};
use serde::Deserialize;

use crate::answer::no_content;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::{Failure, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessBody<'a> {
    #[serde(borrow)]
    reads: Vec<ReadsBody<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadsBody<'a> {
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    agent: Option<Cow<'a, str>>,
    count: u64,
    #[serde(borrow)]
    last_at: Cow<'a, str>,
}

/// Counts reads.
pub(crate) async fn record(caller: Caller, body: JsonBody) -> Result {
    let identity = caller.identity();
    let user: Arc<str> = Arc::from(identity.user());
    let accesses = body.parse::<AccessBody<'_>>()?.reads.into_iter().map(|reads| {
        let ReadsBody { namespace, key, agent, count, last_at } = reads;
        caller.permit().check_read(&namespace)?;
        if let Some(agent) = &agent {
            caller.permit().check_agent(agent)?;
        }
        let agent = agent.as_deref().or(identity.agent());
        Ok(Access {
            user: Arc::clone(&user),
            address: Address { namespace: Arc::from(&*namespace), key: (&*key).into() },
            agent: agent.map(Arc::from).ok_or_else(|| {
                Failure::invalid("reads by no agent are not counted: name it in agent or in X-Agent-Name")
            })?,
            count,
            last_at: Timestamp::parse(&last_at)
                .ok_or_else(|| Failure::invalid("lastAt is not a time: write 2026-01-31T12:00:00.000000Z"))?,
        })
    });
    let accesses = accesses.collect::<Result<_>>()?;
    caller.reader_of_all()?.record_access(accesses).await?;
    Ok(no_content())
}
