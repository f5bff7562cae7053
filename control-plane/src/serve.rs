//! The server's process: settings, the one port for API and agents, an orderly end.

mod listen;
mod tls;

pub use tls::TlsError;

use crate::api;
use crate::app::{App, Timing, wall_clock};
use crate::auth::{self, Tokens};
use crate::store::{self, Sqlite};
use crate::{driver, push, witness};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Start-up options of `phoenix serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Address of the API and of the agents' door (port 0: any free port).
    #[arg(long, env = "PHOENIX_LISTEN", default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,
    /// Folder of the store and the tokens (admin.token, enrol.token); made if it is not there.
    #[arg(long, env = "PHOENIX_DATA", default_value = "phoenix-data")]
    pub data: PathBuf,
    /// Allow plain text on an address that is not loopback (behind a proxy that ends TLS).
    #[arg(long, env = "PHOENIX_PLAIN_TEXT")]
    pub plain_text: bool,
    /// Certificate chain (PEM): TLS for API and agents.
    #[arg(long, env = "PHOENIX_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, env = "PHOENIX_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Every client must show a certificate of this authority (PEM).
    #[arg(long, env = "PHOENIX_TLS_CLIENT_CA", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// Credentials of the backends that experiments may ask as a second witness (YAML; docs/witness.md).
    #[arg(long, env = "PHOENIX_BACKENDS")]
    pub backends: Option<PathBuf>,
    /// A candidate runs this long without word from the server.
    #[arg(long, env = "PHOENIX_LEASE", default_value = "30s", value_parser = humantime::parse_duration)]
    pub lease: std::time::Duration,
    /// A plan is healthy after it ran this long without harm.
    #[arg(long, env = "PHOENIX_BAKE", default_value = "10s", value_parser = humantime::parse_duration)]
    pub bake: std::time::Duration,
}

/// Why the server cannot start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{0} is not loopback: tokens would cross the network in plain text; give --tls-cert and \
         --tls-key, or --plain-text if something in front of it ends TLS"
    )]
    PlainText(SocketAddr),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the data folder {path}: {source}")]
    Data {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Tokens(#[from] auth::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("--backends: {0}")]
    Backends(#[from] witness::backends::Error),
    #[error(transparent)]
    App(#[from] crate::app::Error),
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
}

/// A server that listens and is not served yet.
pub struct Server {
    address: SocketAddr,
    listener: TcpListener,
    app: Arc<App>,
    tokens: Arc<Tokens>,
    store: Sqlite,
    tls: Option<TlsAcceptor>,
    backends: witness::Backends,
}

impl Server {
    /// Opens the store and the port.
    pub async fn bind(args: &ServeArgs) -> Result<Server, Error> {
        let tls = tls::acceptor(args)?;
        let backends = match &args.backends {
            Some(path) => witness::Backends::open(path)?,
            None => witness::Backends::default(),
        };
        if tls.is_none() && !args.listen.ip().is_loopback() && !args.plain_text {
            return Err(Error::PlainText(args.listen));
        }
        std::fs::create_dir_all(&args.data).map_err(|source| Error::Data {
            path: args.data.clone(),
            source,
        })?;
        let tokens = Arc::new(Tokens::open(&args.data)?);
        let store = Sqlite::open(&args.data.join("phoenix.db")).await?;
        let timing = Timing {
            lease_ms: millis(args.lease),
            bake_ms: millis(args.bake),
        };
        let app = App::new(Arc::new(store.clone()), timing, wall_clock()).await?;
        let listen = async {
            let listener = TcpListener::bind(args.listen).await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen.await.map_err(|source| Error::Listen {
            address: args.listen,
            source,
        })?;
        Ok(Server {
            address,
            listener,
            app,
            tokens,
            store,
            tls,
            backends,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn app(&self) -> Arc<App> {
        self.app.clone()
    }

    /// Serves until `shutdown`; then sessions and event streams end, requests finish, the store closes.
    pub async fn run(self, shutdown: CancellationToken) {
        let shared = api::Shared {
            app: self.app.clone(),
            tokens: self.tokens.clone(),
            shutdown: shutdown.clone(),
        };
        let router = api::routes(shared).merge(push::routes(
            self.app.clone(),
            self.tokens,
            shutdown.clone(),
        ));
        let planner = push::spawn_planner(self.app.clone(), shutdown.clone());
        let witness = witness::spawn(self.app.clone(), self.backends, shutdown.clone());
        let driver = driver::spawn(self.app, shutdown.clone());
        listen::serve(self.listener, self.tls, router, shutdown).await;
        for (name, task) in [
            ("planner", planner),
            ("driver", driver),
            ("second witness", witness),
        ] {
            if let Err(error) = task.await {
                tracing::error!(%error, "the {name} ended badly");
            }
        }
        self.store.close().await;
    }
}

/// Runs the control plane until `shutdown`.
pub async fn serve(args: ServeArgs, shutdown: CancellationToken) -> Result<(), Error> {
    let server = Server::bind(&args).await?;
    // Who started the server may not read what it says.
    let _ = writeln!(
        std::io::stdout(),
        "phoenix serve listening http={}",
        server.address()
    );
    tracing::info!(data = %args.data.display(), "control plane started");
    server.run(shutdown).await;
    Ok(())
}

fn millis(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
