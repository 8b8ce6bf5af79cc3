//! Fetching one address: bounded in time, in size and in redirects, and given up when its caller says so.

use std::io::Write;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Client, Url};
use thiserror::Error;

use super::{chain, install_crypto};

const CONNECT: Duration = Duration::from_secs(15);

/// Without a byte for so long, a server counts as gone.
const IDLE: Duration = Duration::from_secs(30);

/// How often the caller is asked whether to go on while nothing comes.
const LOOK: Duration = Duration::from_millis(200);

const REDIRECTS: usize = 5;

#[derive(Debug, Error)]
pub enum DownloadError {
    #[error("'{0}' is no address of the web; it begins with http:// or https:// and has a host, and no user or password")]
    Address(String),
    #[error("{address} cannot be reached: {why}. Check the address and the network, and fetch again")]
    Unreachable { address: String, why: String },
    #[error("{address} answers {status}. Check the address, and fetch again later")]
    Status { address: String, status: String },
    #[error("{address} is larger than {limit} bytes; fetch it by hand and import a part of it")]
    TooLarge { address: String, limit: u64 },
    #[error("what came from {address} cannot be written: {source}")]
    Write { address: String, source: std::io::Error },
}

/// Writes what stands at an address to `out` and says where it was found in the end. `go_on` hears bytes and their number in
/// all; `None`: it gave up.
pub fn download(
    address: &str,
    limit: u64,
    out: &mut dyn Write,
    go_on: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Option<String>, DownloadError> {
    // Whatever stands before the host may be a password.
    let wrong = || DownloadError::Address(crate::domain::one_line(address.rsplit('@').next().unwrap_or_default(), 200));
    let url = Url::parse(address).map_err(|_| wrong())?;
    let web = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    if !web || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong());
    }
    let lost = |why: String| DownloadError::Unreachable { address: shown(&url), why };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| lost(e.to_string()))?;
    install_crypto();
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::limited(REDIRECTS))
        .connect_timeout(CONNECT)
        .read_timeout(IDLE)
        .user_agent(concat!("stratos/", env!("CARGO_PKG_VERSION")));
    // Who is asked on this machine is not asked through a proxy.
    let near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let client = if near { client.no_proxy() } else { client };
    let client = client.build().map_err(|e| lost(chain(e)))?;
    runtime.block_on(async {
        let accept = "application/rss+xml, application/atom+xml, application/xml;q=0.9, */*;q=0.8";
        let Some(answer) = patient(client.get(url.clone()).header(ACCEPT, accept).send(), &mut || go_on(0, 0)).await else {
            return Ok(None);
        };
        let mut answer = answer.map_err(|e| lost(chain(e)))?;
        if !answer.status().is_success() {
            return Err(DownloadError::Status { address: shown(&url), status: answer.status().to_string() });
        }
        let too_large = || DownloadError::TooLarge { address: shown(&url), limit };
        let total = answer.content_length().unwrap_or(0);
        if total > limit {
            return Err(too_large());
        }
        let found = answer.url().to_string();
        let mut read = 0;
        loop {
            let Some(chunk) = patient(answer.chunk(), &mut || go_on(read, total)).await else { return Ok(None) };
            let Some(chunk) = chunk.map_err(|e| lost(chain(e)))? else { break };
            read += chunk.len() as u64;
            if read > limit {
                return Err(too_large());
            }
            out.write_all(&chunk).map_err(|source| DownloadError::Write { address: shown(&url), source })?;
            if !go_on(read, total) {
                return Ok(None);
            }
        }
        out.flush().map_err(|source| DownloadError::Write { address: shown(&url), source })?;
        Ok(Some(found))
    })
}

/// An address without what may be a key.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    crate::domain::one_line(url.as_str(), 200)
}

/// Waits for work, and asks meanwhile whether anybody still wants it.
async fn patient<T>(work: impl Future<Output = T>, go_on: &mut dyn FnMut() -> bool) -> Option<T> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(LOOK, work.as_mut()).await {
            Ok(done) => return Some(done),
            Err(_) if go_on() => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;

    /// A server that gives each connection its answer, and its address.
    fn server(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a client");
                let lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
                for line in lines.map_while(Result::ok) {
                    if line.is_empty() {
                        break;
                    }
                }
                stream.write_all(answer.as_bytes()).expect("answers");
            }
        });
        address
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    fn to(place: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }

    fn get(address: &str, limit: u64, go_on: &mut dyn FnMut(u64, u64) -> bool) -> Result<Option<(String, Vec<u8>)>, String> {
        let mut out = Vec::new();
        let found = download(address, limit, &mut out, go_on).map_err(|e| e.to_string())?;
        Ok(found.map(|found| (found, out)))
    }

    #[test]
    fn an_address_is_fetched_from_where_it_moved_to() {
        let address = server(vec![to("/there.xml"), ok("<rss/>")]);
        let wanted = (format!("{address}/there.xml"), b"<rss/>".to_vec());
        assert_eq!(get(&address, 100, &mut |_, _| true), Ok(Some(wanted)));
    }

    #[test]
    fn what_goes_wrong_is_said_with_the_address_and_without_its_query() {
        let endless = server((0..9).map(|_| to("/again")).collect());
        let missing = server(vec!["HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()]);
        let large = server(vec![ok("0123456789")]);
        let unsaid = server(vec!["HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789".into()]);
        let table = [
            (format!("{endless}/a?key=secret"), "redirect"),
            (format!("{missing}/a?key=secret"), "404"),
            (large, "larger than 9 bytes"),
            (unsaid, "larger than 9 bytes"),
            ("http://127.0.0.1:1/a?key=secret".into(), "cannot be reached"),
            ("https://me:secret@example.org/".into(), "is no address"),
            ("file:///etc/passwd".into(), "is no address"),
        ];
        for (address, wanted) in table {
            let error = get(&address, 9, &mut |_, _| true).expect_err(wanted);
            assert!(error.contains(wanted) && !error.contains("secret"), "{address}: {error}");
        }
    }

    #[test]
    fn a_download_is_given_up_when_its_caller_says_so() {
        assert_eq!(get(&server(vec![ok("<rss/>")]), 100, &mut |_, _| false), Ok(None));
    }
}
