//! A homeserver without protocol.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ErrorCode, ErrorReply, Fqdn, Origin,
    api::{Description, ServiceName},
    engine::OpenStream,
    token::{Class, KeyListEntry, Token},
    wire::{Call, Opaque, Wire},
};
use tokio::sync::Semaphore;

use super::alpha;
use crate::home::{Challenge, Home};

/// Repeats what it is told.
pub(super) struct Echo {
    domain: Fqdn,
    /// The token and the origin of the last call.
    pub(super) last: Mutex<Option<(Option<Token>, Origin)>>,
    /// Calls of `slow` that have begun,
    pub(super) begun: Semaphore,
    /// that may end,
    pub(super) release: Semaphore,
    /// and that have ended.
    pub(super) ended: Semaphore,
}

pub(super) const TABLE: [Description; 8] = [
    Description::new(0x03f0, ServiceName::Ds, "echo"),
    Description::new(0x03f1, ServiceName::Ds, "paid").costs(Class::Standard),
    Description::new(0x03f2, ServiceName::Ds, "refuse"),
    Description::new(0x03f3, ServiceName::Ds, "slow"),
    Description::new(0x03f4, ServiceName::Ds, "inner").internal(),
    Description::new(0x01f0, ServiceName::As, "as_keys").published(),
    Description::new(0x02f0, ServiceName::Qs, "qs_keys").published(),
    Description::new(0x03f6, ServiceName::Ds, "ds_keys").published(),
];

impl Echo {
    pub(super) fn new() -> Arc<Self> {
        let none = || Semaphore::new(0);
        Arc::new(Self {
            domain: alpha(),
            last: Mutex::default(),
            begun: none(),
            release: none(),
            ended: none(),
        })
    }

    pub(super) fn last(&self) -> (Option<Token>, Origin) {
        self.last.lock().unwrap().clone().unwrap()
    }
}

#[async_trait]
impl Home for Echo {
    fn domain(&self) -> &Fqdn {
        &self.domain
    }

    fn descriptions(&self) -> Vec<Description> {
        TABLE.to_vec()
    }

    async fn call(&self, endpoint: &Description, call: Call, origin: Origin) -> Result<Bytes, ErrorReply> {
        *self.last.lock().unwrap() = Some((call.token.clone(), origin));
        match endpoint.name {
            "paid" if call.token.is_none() => Err(refusal(ErrorCode::TokenRequired)),
            "refuse" => Err(ErrorReply::decode(&call.body).unwrap()),
            "slow" => {
                self.begun.add_permits(1);
                self.release.acquire().await.unwrap().forget();
                self.ended.add_permits(1);
                Ok(Bytes::new())
            }
            _ => Ok(call.body.bytes()),
        }
    }

    async fn open(&self, _: &Description, _: Call, _: Origin) -> Result<OpenStream, ErrorReply> {
        Err(refusal(ErrorCode::NotFound))
    }

    fn admit(&self, _endpoint: &Description, _origin: &Origin) -> Result<(), ErrorReply> {
        Ok(())
    }

    async fn document(&self, service: ServiceName) -> Result<Bytes, ErrorReply> {
        Ok(Bytes::from(format!("{{\"service\": \"{}\"}}", service.as_str())))
    }

    fn jwks(&self) -> Bytes {
        Bytes::from_static(b"{\"keys\": []}")
    }

    fn challenges(&self, _class: Class) -> Vec<Challenge> {
        vec![Challenge { challenge: Bytes::from_static(b"challenge"), token_key: Bytes::from_static(b"key") }]
    }

    fn issuing_keys(&self) -> Vec<KeyListEntry> {
        Vec::new()
    }
}

pub(super) fn refusal(code: ErrorCode) -> ErrorReply {
    ErrorReply { code, retry_after_s: None, detail: Opaque::default() }
}
