use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use super::*;
use crate::net::Acceptor;

const FAST: ListenRules = ListenRules {
    workers: 2,
    tries: 2,
    pause: Duration::from_millis(1),
};

fn any_port() -> ListenOptions {
    ListenOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)).into())
}

fn prepare(old: &Listeners, wanted: &[ListenOptions]) -> Listeners {
    Listeners::prepare(old, wanted, FAST).unwrap()
}

fn bound(set: &Listeners) -> SocketAddr {
    match set.iter().next().unwrap().local_addr().unwrap() {
        Addr::Inet(addr) => addr,
        Addr::Unix(path) => panic!("{path:?}"),
    }
}

/// Options for a port that was free a moment ago.
fn free_port() -> ListenOptions {
    ListenOptions::new(bound(&prepare(&Listeners::default(), &[any_port()])).into())
}

#[tokio::test]
async fn connections_are_accepted_over_tcp() {
    let set = prepare(&Listeners::default(), &[any_port()]);
    let acceptor = Acceptor::new(set.iter().next().unwrap().for_worker(0).unwrap()).unwrap();
    let mut client = TcpStream::connect(bound(&set)).unwrap();
    let (transport, peer) = acceptor.accept().await.unwrap();
    assert_eq!(peer, Addr::from(client.local_addr().unwrap()));
    assert_eq!(transport.local_addr().unwrap(), Addr::from(bound(&set)));
    client.write_all(b"hello").unwrap();
    transport.readable().await.unwrap();
    let mut buf = [0; 16];
    assert_eq!(transport.try_read(&mut buf).unwrap(), 5);
}

#[tokio::test]
async fn a_unix_socket_has_a_file_while_somebody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let wanted = [ListenOptions::new(Addr::unix(&path))];
    let first = prepare(&Listeners::default(), &wanted);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o666
    );
    let second = prepare(&first, &wanted);
    drop(first);
    let acceptor = Acceptor::new(second.iter().next().unwrap().for_worker(0).unwrap()).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    let (transport, peer) = acceptor.accept().await.unwrap();
    assert_eq!(peer.to_string(), "unix:");
    assert_eq!(
        transport
            .try_write_vectored(&[io::IoSlice::new(b"hi")], false)
            .unwrap(),
        2
    );
    drop(transport);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hi");
    drop(second);
    assert!(!path.exists());
}

#[test]
fn an_address_in_use_is_reported_as_nginx_does() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    fs::write(&path, "").unwrap();
    let mut shared = ListenOptions::new(addr.into());
    shared.reuseport = true;
    let wanted = [any_port(), shared, ListenOptions::new(Addr::unix(&path))];
    let error = Listeners::prepare(&Listeners::default(), &wanted, FAST).unwrap_err();
    assert!(error.failures().iter().all(ListenFailure::is_in_use));
    assert_eq!(
        error.to_string(),
        format!(
            "bind() to {addr} failed (98: Address already in use); \
             bind() to unix:{} failed (98: Address already in use)",
            path.display()
        )
    );
    assert!(path.exists());
}

#[test]
fn an_address_that_is_not_ours_is_not_tried_again() {
    let wanted = [ListenOptions::new(
        SocketAddr::from(([192, 0, 2, 1], 80)).into(),
    )];
    let rules = ListenRules {
        pause: Duration::from_secs(60),
        ..FAST
    };
    let error = Listeners::prepare(&Listeners::default(), &wanted, rules).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bind() to 192.0.2.1:80 failed (99: Cannot assign requested address)"
    );
}

#[test]
fn reuseport_gives_each_worker_a_socket() {
    let mut options = any_port();
    options.reuseport = true;
    let set = prepare(&Listeners::default(), &[options]);
    let listener = set.iter().next().unwrap();
    let addrs: Vec<Addr> = listener
        .sockets
        .iter()
        .map(|bound| {
            bound
                .socket
                .local_addr()
                .unwrap()
                .as_socket()
                .unwrap()
                .into()
        })
        .collect();
    assert_eq!(addrs, [Addr::from(bound(&set)), Addr::from(bound(&set))]);
}

#[test]
fn sockets_outlive_reuseport_going_on_and_off() {
    let plain = free_port();
    let mut shared = plain.clone();
    shared.reuseport = true;
    let first = prepare(&Listeners::default(), std::slice::from_ref(&plain));
    let second = prepare(&first, std::slice::from_ref(&shared));
    let third = prepare(&second, std::slice::from_ref(&plain));
    let listener = |set: &Listeners| Arc::clone(set.iter().next().unwrap());
    assert_eq!(listener(&second).sockets.len(), 2);
    assert!(listener(&first).is_same_socket(&listener(&second), 0));
    assert!(!listener(&first).is_same_socket(&listener(&second), 1));
    assert!(listener(&first).is_same_socket(&listener(&third), 1));
}

#[test]
fn what_nobody_wants_is_closed_with_the_last_generation() {
    let wanted = [free_port()];
    let first = prepare(&Listeners::default(), &wanted);
    let addr = bound(&first);
    let second = prepare(&first, &[any_port()]);
    assert!(second.get(&Addr::from(addr)).is_none());
    TcpStream::connect(addr).unwrap();
    drop(first);
    let refused = TcpStream::connect(addr).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_failed_preparation_leaves_the_old_set_alone() {
    let wanted = [free_port()];
    let first = prepare(&Listeners::default(), &wanted);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let both = [
        wanted[0].clone(),
        ListenOptions::new(taken.local_addr().unwrap().into()),
    ];
    assert_eq!(
        Listeners::prepare(&first, &both, FAST)
            .unwrap_err()
            .failures()
            .len(),
        1
    );
    TcpStream::connect(bound(&first)).unwrap();
}

#[test]
fn a_changed_backlog_keeps_the_socket() {
    let mut options = free_port();
    let first = prepare(&Listeners::default(), std::slice::from_ref(&options));
    options.backlog = 7;
    let second = prepare(&first, std::slice::from_ref(&options));
    assert_eq!(second.iter().next().unwrap().options().backlog, 7);
    drop(first);
    TcpStream::connect(bound(&second)).unwrap();
}

#[test]
fn ipv6_does_not_take_ipv4_unless_told() {
    let mut options =
        ListenOptions::new(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0)).into());
    let Ok(only) = Listeners::prepare(&Listeners::default(), &[options.clone()], FAST) else {
        println!("skipped: no IPv6");
        return;
    };
    let v4 = |set: &Listeners| SocketAddr::from(([127, 0, 0, 1], bound(set).port()));
    assert!(TcpStream::connect(v4(&only)).is_err());
    options.ipv6only = false;
    let both = prepare(&Listeners::default(), &[options]);
    TcpStream::connect(v4(&both)).unwrap();
}

#[test]
fn sockets_are_adopted_in_the_order_of_what_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let wanted = [any_port(), ListenOptions::new(Addr::unix(&path))];
    let opened = prepare(&Listeners::default(), &wanted);
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
    let sockets: Vec<Vec<OwnedFd>> = opened
        .iter()
        .map(|listener| listener.descriptors().map(copy).collect())
        .collect();
    let adopted = Listeners::adopt(&wanted, &sockets).unwrap();
    assert_eq!(bound(&adopted), bound(&opened));
    drop(adopted);
    assert!(path.exists(), "the file is that of who made it");
    let error = Listeners::adopt(&wanted[..1], &sockets).unwrap_err();
    assert!(error.to_string().contains("2 were handed over"), "{error}");
    drop(opened);
    assert!(!path.exists());
}

#[test]
fn sockets_of_another_program_are_kept_for_their_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let unix = ListenOptions::new(Addr::unix(&path));
    let theirs = prepare(&Listeners::default(), &[any_port(), unix.clone()]);
    theirs.share_files(true);
    let no_socket = OwnedFd::from(fs::File::open("/dev/null").unwrap());
    let sockets = theirs.iter().flat_map(|listener| listener.descriptors());
    let sockets = sockets.map(|fd| fd.try_clone_to_owned().unwrap());
    let inherited = Listeners::inherit(sockets.chain([no_socket]), true);
    assert_eq!(inherited.iter().count(), 2);
    let addr = bound(&theirs);
    drop(theirs);
    let ours = prepare(&inherited, &[ListenOptions::new(addr.into()), unix]);
    drop(inherited);
    TcpStream::connect(addr).unwrap();
    UnixStream::connect(&path).unwrap();
    ours.share_files(false);
    drop(ours);
    assert!(!path.exists());
}
