//! A next hop that only a proxy can reach.

use crate::support::{Process, Sink, request, to};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that leads every tunnel to `to` and answers every whole URL with 200; its requests.
async fn proxy(to: SocketAddr) -> (Arc<Mutex<Vec<String>>>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let all = all.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let tunnel = head.starts_with("CONNECT");
                all.lock().unwrap().push(head);
                if tunnel {
                    stream
                        .write_all(b"HTTP/1.1 200 fine\r\n\r\n")
                        .await
                        .unwrap();
                    let mut next = TcpStream::connect(to).await.unwrap();
                    let _ended = tokio::io::copy_bidirectional(&mut stream, &mut next).await;
                } else {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                    let _rest = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                }
            });
        }
    });
    (seen, address)
}

async fn send(process: &Process) {
    let endpoint = format!("http://{}", process.address("grpc"));
    let mut client = MetricsServiceClient::connect(endpoint).await.unwrap();
    client.export(request(0..10)).await.unwrap();
}

#[tokio::test]
async fn grpc_goes_through_a_tunnel_and_no_proxy_is_heeded() {
    let (sink, at) = Sink::start().await;
    let (seen, proxy) = proxy(at).await;
    let url = format!("http://user:pass@{proxy}");
    let settings = to("10.255.255.1:4317".parse().unwrap(), "    insecure: true");
    let process = Process::start(&settings, &[("HTTP_PROXY", &url)]);
    send(&process).await;
    sink.wait_for(10).await;
    let heads = seen.lock().unwrap().join("");
    assert!(
        heads.starts_with("CONNECT 10.255.255.1:4317 HTTP/1.1\r\n"),
        "{heads}"
    );
    assert!(
        heads.contains("Proxy-Authorization: Basic dXNlcjpwYXNz"),
        "{heads}"
    );
    drop(process);
    let direct = to(at, "").replace("127.0.0.1:", "localhost:");
    let direct = direct.replace("\"localhost:0\"", "\"127.0.0.1:0\"");
    let process = Process::start(&direct, &[("HTTP_PROXY", "http://127.0.0.1:1")]);
    send(&process).await;
    sink.wait_for(20).await;
}

#[tokio::test]
async fn plain_http_asks_the_proxy_for_the_whole_url() {
    let (seen, proxy) = proxy("127.0.0.1:1".parse().unwrap()).await;
    let url = format!("http://{proxy}");
    let more = "    insecure: true\n    protocol: http";
    let settings = to("10.255.255.1:4318".parse().unwrap(), more);
    let process = Process::start(&settings, &[("http_proxy", &url)]);
    send(&process).await;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while seen.lock().unwrap().is_empty() {
        assert!(std::time::Instant::now() < end, "the proxy was not asked");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let head = seen.lock().unwrap()[0].clone();
    assert!(
        head.starts_with("POST http://10.255.255.1:4318/v1/metrics HTTP/1.1\r\n"),
        "{head}"
    );
}
