//! A wire to a broker that can be cut: what a test does to the network instead of to the node that it
//! shares with others.
//!
//! Cut, it ends every connection without a farewell and takes no new one; the broker sees what it sees
//! when a router is killed, and the router what it sees when the broker is.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// A port in front of another. Dropping it cuts it for good.
pub(crate) struct Wire {
    port: u16,
    orders: mpsc::Sender<(State, oneshot::Sender<()>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Cut,
}

impl Wire {
    /// A wire to this address, whole.
    pub(crate) async fn to(far_end: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let (orders, heard) = mpsc::channel(1);
        tokio::spawn(carry(listener, far_end, heard));
        Self { port, orders }
    }

    /// Its near end.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection, and from now on each new one. When it returns, nothing more arrives.
    pub(crate) async fn cut(&self) {
        self.becomes(State::Cut).await;
    }

    /// Carries new connections again.
    pub(crate) async fn mend(&self) {
        self.becomes(State::Whole).await;
    }

    async fn becomes(&self, state: State) {
        let (done, is_so) = oneshot::channel();
        self.orders.send((state, done)).await.expect("it carries as long as we are here");
        is_so.await.expect("it carries as long as we are here");
    }
}

async fn carry(
    listener: TcpListener,
    far_end: SocketAddr,
    mut orders: mpsc::Receiver<(State, oneshot::Sender<()>)>,
) {
    let mut state = State::Whole;
    let mut connections = JoinSet::new();
    loop {
        // Orders first: what comes with a cut comes too late.
        tokio::select! { biased;
            order = orders.recv() => {
                let Some((ordered, done)) = order else { return }; // and the connections with us
                state = ordered;
                if state == State::Cut {
                    connections.shutdown().await;
                }
                let _ = done.send(()); // who ordered it may have been dropped
            }
            accepted = listener.accept() => {
                let (near, _) = accepted.expect("a connection to ourselves");
                if state == State::Whole {
                    connections.spawn(connect(near, far_end));
                }
            }
            _ = connections.join_next(), if !connections.is_empty() => {} // one ended by itself
        }
    }
}

async fn connect(mut near: TcpStream, far_end: SocketAddr) {
    if let Ok(mut far) = TcpStream::connect(far_end).await {
        // However it ends: both ends hear of it as this returns.
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}
