//! A TCP proxy that delays, swallows, cuts and refuses, before an SMTP server or a database.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// What the proxy does to the connections that go through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Keeps the connections, and lets nothing through until the fault is over.
    Blackhole,
    /// Cuts the connections that are there, and lets no new ones in.
    Cut,
}

/// A running proxy. It ends, and its connections with it, when this is dropped.
pub struct Proxy {
    /// Where to connect to instead of the real server.
    pub address: SocketAddr,
    fault: watch::Sender<Fault>,
    delay: Arc<Mutex<Duration>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a port of its own, for the server at `upstream`.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, faults) = watch::channel(Fault::None);
        let delay = Arc::<Mutex<Duration>>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, faults, Arc::clone(&delay)));
        Self { address, fault, delay, _tasks: tasks }
    }

    /// From now on does this to all connections, those that are there and those to come.
    pub fn fault(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// From now on holds everything back for so long, in each direction.
    pub fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    faults: watch::Receiver<Fault>,
    delay: Arc<Mutex<Duration>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if *faults.borrow() == Fault::Cut {
            continue;
        }
        let (mut faults, delay) = (faults.clone(), Arc::clone(&delay));
        connections.spawn(async move {
            let mut is_cut = faults.clone();
            let relayed = relay(client, upstream, &mut faults, &delay);
            tokio::select! {
                _ = relayed => {}
                _ = is_cut.wait_for(|fault| *fault == Fault::Cut) => {}
            }
        });
    }
}

async fn relay(
    client: TcpStream,
    upstream: SocketAddr,
    faults: &mut watch::Receiver<Fault>,
    delay: &Mutex<Duration>,
) -> io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut faults_back = faults.clone();
    tokio::try_join!(
        pass(from_client, to_server, faults, delay),
        pass(from_server, to_client, &mut faults_back, delay),
    )?;
    Ok(())
}

/// One direction. Reading does not wait for the delay of what was read before: a long line has
/// a long way, not a narrow one.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    faults: &mut watch::Receiver<Fault>,
    delay: &Mutex<Duration>,
) -> io::Result<()> {
    let (on_the_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let read = async move {
        loop {
            let mut bytes = vec![0; 16 * 1024];
            let n_read = from.read(&mut bytes).await?;
            bytes.truncate(n_read);
            let arrives_at = Instant::now() + *delay.lock().unwrap();
            if n_read == 0 || on_the_way.send((arrives_at, bytes)).await.is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let write = async {
        while let Some((arrives_at, bytes)) = arriving.recv().await {
            sleep_until(arrives_at).await;
            drop(faults.wait_for(|fault| *fault != Fault::Blackhole).await);
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(|_| ())
}
