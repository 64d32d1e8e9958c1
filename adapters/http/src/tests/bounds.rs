//! What strangers cannot use up (02, "HTTP binding"; 10, T20).

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use phoenix_core::{ErrorCode, port::Transport};

use super::{Authority, Echo, Running, alpha, echo_server, outgoing, send};
use crate::{RouterOptions, ServerLimits, router::routes};

#[tokio::test]
async fn a_call_ends_though_its_caller_hung_up() {
    let echo = Echo::new();
    let (_running, transport) = echo_server(&echo, RouterOptions::default());

    let hang_up = async { echo.begun.acquire().await.unwrap().forget() };
    tokio::select! {
        _ = send(&transport, "slow", "") => panic!("it was not released yet"),
        () = hang_up => {}
    }
    echo.release.add_permits(1);

    echo.ended.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn t20_an_oversize_body_is_refused_over_the_wire() {
    let (_running, transport) = echo_server(&Echo::new(), RouterOptions::default());

    for size in [(256 << 10) + 1, 1 << 20] {
        let error = send(&transport, "echo", vec![0; size]).await.unwrap().unwrap_err();
        assert_eq!((error.code, error.detail.as_slice()), (ErrorCode::TooLarge, &b"body"[..]));
    }
}

#[tokio::test]
async fn t20_requests_together_take_no_more_memory_than_they_may() {
    let echo = Echo::new();
    let (_running, transport) = echo_server(&echo, RouterOptions { memory: 64 << 10, ..Default::default() });

    let error = send(&transport, "echo", vec![0; 65 << 10]).await.unwrap().unwrap_err();
    assert_eq!((error.code, error.retry_after_s), (ErrorCode::Unavailable, Some(1)));

    // What was taken is given back; and what runs holds its share.
    assert!(send(&transport, "echo", vec![0; 40 << 10]).await.unwrap().is_ok());
    let (other, running) = (transport.clone(), outgoing("slow", vec![0; 40 << 10], None));
    let running = tokio::spawn(async move { other.send(&alpha(), running).await });
    echo.begun.acquire().await.unwrap().forget();
    let error = send(&transport, "echo", vec![0; 40 << 10]).await.unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    echo.release.add_permits(1);
    assert!(running.await.unwrap().unwrap().is_ok());
    assert!(send(&transport, "echo", vec![0; 40 << 10]).await.unwrap().is_ok());
}

#[tokio::test]
async fn t20_an_address_has_only_so_many_connections() {
    let limits = ServerLimits { connections_per_address: 2, ..Default::default() };
    let running = limited(limits);

    let kept = [connect(running.address), connect(running.address)];

    assert!(closed(connect(running.address)).await);
    drop(kept);
}

#[tokio::test]
async fn t20_who_says_nothing_is_cut_off() {
    let limits = ServerLimits { header_time: Duration::from_millis(20), ..Default::default() };
    let running = limited(limits);
    let mut half = connect(running.address);
    half.write_all(&[22, 3, 1]).unwrap();

    assert!(closed(connect(running.address)).await);
    assert!(closed(half).await);
}

#[tokio::test]
async fn a_connection_that_had_its_requests_is_replaced_without_loss() {
    let authority = Authority::new();
    let limits = ServerLimits { requests_per_connection: 2, ..Default::default() };
    let router = routes(Echo::new(), RouterOptions::default());
    let running = Running::start_at("127.0.0.1:0".parse().unwrap(), &authority, router, limits);
    let transport = running.transport(&authority);

    for _ in 0..7 {
        assert!(send(&transport, "echo", "x").await.unwrap().is_ok());
    }
}

fn limited(limits: ServerLimits) -> Running {
    let router = routes(Echo::new(), RouterOptions::default());
    Running::start_at("127.0.0.1:0".parse().unwrap(), &Authority::new(), router, limits)
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).unwrap()
}

/// Waits until the other side has closed; not if it has anything to say first.
async fn closed(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let read = tokio::task::spawn_blocking(move || stream.read(&mut [0; 1]));
    match read.await.unwrap() {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
