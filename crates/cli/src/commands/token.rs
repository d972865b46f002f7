//! Tokens: who may use the store over HTTP, and for what.

use agent_data_store::wire::{self, Object};
use agent_data_store::{Timestamp, block_on};
use agent_data_store_server::{Access, NewToken, Token, Tokens};

use super::{Session, Sweep};
use crate::args::{Global, TokenCommand, TokenCreateArgs};
use crate::failure::{Failure, Result};
use crate::output::{Align, Output, time};

impl Session {
    pub(super) fn token(&self, command: &TokenCommand, global: &Global, out: &mut Output) -> Result {
        match command {
            TokenCommand::Create(args) => self.create_token(args, global, out),
            TokenCommand::List => self.list_tokens(out),
            TokenCommand::Revoke { id } => self.revoke_token(id, out),
        }
    }

    fn create_token(&self, args: &TokenCreateArgs, global: &Global, out: &mut Output) -> Result {
        // What the environment says of this shell's user and agent is not said of a token that goes to somebody else.
        if global.user.is_none() && !args.admin {
            return Err(Failure::invalid("the token has no user: say --user, for whom it acts"));
        }
        let mut new = NewToken::default();
        new.user = global.user.clone().unwrap_or_else(|| "default".to_owned());
        new.agent.clone_from(&global.agent);
        new.namespaces.clone_from(&args.namespaces);
        new.access = match (args.admin, args.write) {
            (true, _) => Access::Admin,
            (false, true) => Access::Write,
            (false, false) => Access::Read,
        };
        new.expires_in = args.expires;
        self.with(Sweep::Nothing, |store, _| {
            let tokens = Tokens::of(store)?;
            let issued = block_on(tokens.create(new))?;
            match out.is_json() {
                true => {
                    let token = issued.token.to_json(tokens.now());
                    let shown = Object::with_capacity(512).text("secret", &*issued.secret).json("token", &token);
                    out.value(&shown.end())?;
                }
                false => {
                    out.line(&issued.secret)?;
                    let id = issued.token.id();
                    out.note(&format!("ads: this is token {id}, shown this once: keep it as a secret"));
                }
            }
            out.flush()
        })
    }

    fn list_tokens(&self, out: &mut Output) -> Result {
        self.with(Sweep::Nothing, |store, _| {
            let tokens = Tokens::of(store)?;
            let (list, now) = (block_on(tokens.list())?, tokens.now());
            if out.is_json() {
                out.value(&wire::array(list.iter().map(|token| token.to_json(now))))?;
            } else if !list.is_empty() {
                let columns = ["ID", "STATE", "ACCESS", "USER", "AGENT", "NAMESPACES", "CREATED", "EXPIRES"]
                    .map(|name| (name, Align::Left));
                out.table(columns, list.iter().map(|token| row(token, now)))?;
            } else if out.is_for_reading() {
                out.note("no tokens in this store");
            }
            out.flush()
        })
    }

    fn revoke_token(&self, id: &str, out: &mut Output) -> Result {
        self.with(Sweep::Nothing, |store, _| match block_on(Tokens::of(store)?.revoke(id))? {
            false => Err(Failure::missing(format!("no token {id:?} in this store"))),
            true => {
                if out.is_json() {
                    out.value(&Object::with_capacity(64).text("revoked", id).end())?;
                }
                out.flush()
            }
        })
    }
}

fn row(token: &Token, now: Timestamp) -> [String; 8] {
    let namespaces: Vec<&str> = token.namespaces().collect();
    [
        token.id().to_owned(),
        token.state(now).to_owned(),
        token.access().as_str().to_owned(),
        token.identity().user().to_owned(),
        token.identity().agent().unwrap_or("-").to_owned(),
        if namespaces.is_empty() { "*".to_owned() } else { namespaces.join(" ") },
        time(token.created_at()),
        token.expires_at().map_or_else(|| "-".to_owned(), time),
    ]
}
