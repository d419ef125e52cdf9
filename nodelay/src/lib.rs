//! Sets `TCP_NODELAY` on connections that a library has made and keeps to itself.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on: the end of a statement that does not fit into one
//! segment waits until the server has acknowledged what came before, and the server puts that off
//! for 40 ms. A batch of a thousand keys is such a statement. Measured: 7,300 keys a second
//! instead of 25,000. When sqlx does it by itself (its pull request 4336), this member can go.
//!
//! It is a member of its own so that the rest of the workspace can forbid `unsafe`.

use std::{
    fs, io,
    os::fd::{BorrowedFd, RawFd},
};

use socket2::SockRef;

/// Sets `TCP_NODELAY` on every TCP connection of this process whose other end has this port, and
/// counts them. Where open files cannot be listed, there are none.
pub fn set(peer_port: u16) -> usize {
    each(peer_port, |socket| socket.set_tcp_nodelay(true)).len()
}

/// Whether `TCP_NODELAY` is set, for each of those connections.
pub fn states(peer_port: u16) -> Vec<bool> {
    each(peer_port, |socket| socket.tcp_nodelay())
}

/// What `look` finds at each TCP connection whose other end has this port.
fn each<T>(peer_port: u16, look: impl Fn(&SockRef<'_>) -> io::Result<T>) -> Vec<T> {
    let listed = fs::read_dir("/proc/self/fd").or_else(|_| fs::read_dir("/dev/fd"));
    let Ok(entries) = listed else { return Vec::new() };
    let numbers: Vec<RawFd> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    numbers
        .into_iter()
        .filter_map(|fd| {
            // SAFETY: the number was listed as open a moment ago, and is not -1. Another thread
            // may have closed it since; then the calls below fail, or meet another file that has
            // this number now. Neither reads, writes nor closes it, and an option that is right
            // for every connection to this port is set on nothing else.
            let file = unsafe { BorrowedFd::borrow_raw(fd) };
            let socket = SockRef::from(&file);
            let peer = socket.peer_addr().ok()?.as_socket()?;
            if peer.port() == peer_port { look(&socket).ok() } else { None }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn only_connections_to_the_port_are_changed() {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (ours, other) = (listen(), listen());
        let connect = |to: &TcpListener| TcpStream::connect(to.local_addr().unwrap()).unwrap();
        let (to_ours, to_other) = (connect(&ours), connect(&other));
        assert!(!to_ours.nodelay().unwrap());
        let port = ours.local_addr().unwrap().port();
        assert_eq!(states(port), [false]);
        assert_eq!(set(port), 1);
        assert_eq!(states(port), [true]);
        assert!(to_ours.nodelay().unwrap());
        assert!(!to_other.nodelay().unwrap());
    }
}
