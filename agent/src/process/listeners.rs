//! Every address is bound before anything starts, so that a taken port is a clear error at once.

use super::{Addresses, StartError};
use crate::settings::Settings;
use std::net::SocketAddr;
use tokio::net::TcpListener;

pub struct Listeners {
    pub grpc: Option<TcpListener>,
    pub http: Option<TcpListener>,
    pub admin: TcpListener,
}

impl Listeners {
    pub async fn bind(settings: &Settings) -> Result<Listeners, StartError> {
        let otlp = settings.receivers.otlp.as_ref();
        Ok(Listeners {
            grpc: match otlp.and_then(|o| o.grpc) {
                Some(address) => Some(listen("receivers.otlp.grpc", address).await?),
                None => None,
            },
            http: match otlp.and_then(|o| o.http) {
                Some(address) => Some(listen("receivers.otlp.http", address).await?),
                None => None,
            },
            admin: listen("admin", settings.admin).await?,
        })
    }

    pub fn addresses(&self) -> Result<Addresses, StartError> {
        let of = |l: &Option<TcpListener>| l.as_ref().map(TcpListener::local_addr).transpose();
        Ok(Addresses {
            grpc: of(&self.grpc)?,
            http: of(&self.http)?,
            admin: self.admin.local_addr()?,
        })
    }
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            setting,
            address,
            source,
        })
}
