//! SQLite's page cache, kept from being looked through at every commit.
//!
//! # Theory
//! - Where a statement puts the pages of an index in order, SQLite gives one of them another number for a moment: that of the page at
//!   1 GiB, which no file uses (`balance_nonroot`, "pending byte page" in <https://sqlite.org/fileformat2.html>). Its cache notes the largest
//!   number that it ever saw, and at the commit drops all pages behind the end of the file. It finds them at once where the largest number is
//!   near that end, and otherwise looks at every page that it has: a third of the writer's time, and all the more the larger the
//!   cache is.
//! - So the cache is told the number 0 in the place of that one. No page has it, and it is behind nothing.
//! - The cache is SQLite's own otherwise: each call is handed on ("Application-defined page cache",
//!   <https://sqlite.org/c3ref/pcache_methods2.html>).

#![allow(unsafe_code, reason = "SQLite takes another page cache by its own interface only")]

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::{Once, OnceLock};

use libsqlite3_sys as ffi;

/// Where locks are taken in a file: the page there is never used (`PENDING_BYTE`).
const PENDING_BYTE: c_uint = 0x4000_0000;

/// SQLite's own cache.
struct Own(ffi::sqlite3_pcache_methods2);

// SAFETY: functions and a pointer that is theirs alone, which SQLite itself shares between its threads.
unsafe impl Send for Own {}
// SAFETY: the same.
unsafe impl Sync for Own {}

static OWN: OnceLock<Own> = OnceLock::new();

/// A cache as SQLite holds it: its own, and the number that is not to reach it.
struct Cache {
    own: *mut ffi::sqlite3_pcache,
    pending: c_uint,
}

impl Cache {
    fn key(&self, key: c_uint) -> c_uint {
        if key == self.pending { 0 } else { key }
    }
}

const EMPTY: ffi::sqlite3_pcache_methods2 = ffi::sqlite3_pcache_methods2 {
    iVersion: 1,
    pArg: null_mut(),
    xInit: None,
    xShutdown: None,
    xCreate: None,
    xCachesize: None,
    xPagecount: None,
    xFetch: None,
    xUnpin: None,
    xRekey: None,
    xTruncate: None,
    xDestroy: None,
    xShrink: None,
};

/// Puts it in the place of SQLite's, for all connections of this process. Before the first one: afterwards SQLite refuses, and its own stays,
/// with which everything works as well and slower.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let mut own = EMPTY;
        // SAFETY: SQLite writes its methods there; nothing of it runs on other threads yet, since all connections are opened behind this.
        let told = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_GETPCACHE2, &raw mut own) };
        if told != ffi::SQLITE_OK || OWN.set(Own(own)).is_err() {
            return;
        }
        let ours = ffi::sqlite3_pcache_methods2 {
            xInit: Some(init),
            xShutdown: Some(shutdown),
            xCreate: Some(create),
            xCachesize: Some(cache_size),
            xPagecount: Some(page_count),
            xFetch: Some(fetch),
            xUnpin: Some(unpin),
            xRekey: Some(rekey),
            xTruncate: Some(truncate),
            xDestroy: Some(destroy),
            xShrink: Some(shrink),
            ..EMPTY
        };
        // SAFETY: SQLite copies the methods, which are there as long as the process, and calls them once a connection is opened.
        let taken = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_PCACHE2, &raw const ours) };
        if taken != ffi::SQLITE_OK {
            tracing::debug!(taken, "SQLite keeps its own page cache");
        }
    });
}

/// A method of SQLite's own cache, called with its cache. SQLite has all of them: what is missing answers nothing.
macro_rules! own {
    ($method:ident($($argument:expr),*)) => {
        match OWN.get().and_then(|own| own.0.$method) {
            // SAFETY: the arguments are those with which SQLite called this very method, but for what this module puts in their place.
            Some(method) => unsafe { method($($argument),*) },
            None => Default::default(),
        }
    };
}

/// The cache behind a pointer that [`create`] gave out.
///
/// # Safety
/// SQLite hands back what it was given, until it calls [`destroy`] with it.
unsafe fn cache<'a>(cache: *mut ffi::sqlite3_pcache) -> &'a Cache {
    // SAFETY: by the caller's promise it is a `Cache` that lives.
    unsafe { &*cache.cast::<Cache>() }
}

unsafe extern "C" fn init(_: *mut c_void) -> c_int {
    let Some(own) = OWN.get() else { return ffi::SQLITE_ERROR };
    own!(xInit(own.0.pArg))
}

unsafe extern "C" fn shutdown(_: *mut c_void) {
    own!(xShutdown(OWN.get().map_or(null_mut(), |own| own.0.pArg)));
}

unsafe extern "C" fn create(page: c_int, extra: c_int, purgeable: c_int) -> *mut ffi::sqlite3_pcache {
    let Some(method) = OWN.get().and_then(|own| own.0.xCreate) else { return null_mut() };
    // SAFETY: the arguments are SQLite's.
    let own = unsafe { method(page, extra, purgeable) };
    if own.is_null() {
        return null_mut();
    }
    let size = c_uint::try_from(page).unwrap_or(0).max(1);
    Box::into_raw(Box::new(Cache { own, pending: PENDING_BYTE / size + 1 })).cast()
}

unsafe extern "C" fn cache_size(this: *mut ffi::sqlite3_pcache, pages: c_int) {
    // SAFETY: SQLite's.
    let this = unsafe { cache(this) };
    own!(xCachesize(this.own, pages));
}

unsafe extern "C" fn page_count(this: *mut ffi::sqlite3_pcache) -> c_int {
    // SAFETY: SQLite's.
    let this = unsafe { cache(this) };
    own!(xPagecount(this.own))
}

unsafe extern "C" fn fetch(
    this: *mut ffi::sqlite3_pcache,
    key: c_uint,
    create: c_int,
) -> *mut ffi::sqlite3_pcache_page {
    // SAFETY: SQLite's.
    let this = unsafe { cache(this) };
    let Some(method) = OWN.get().and_then(|own| own.0.xFetch) else { return null_mut() };
    // SAFETY: the arguments are SQLite's, and the number is one that no page has, or its own.
    unsafe { method(this.own, this.key(key), create) }
}

unsafe extern "C" fn unpin(this: *mut ffi::sqlite3_pcache, page: *mut ffi::sqlite3_pcache_page, discard: c_int) {
    // SAFETY: SQLite's.
    let this = unsafe { cache(this) };
    own!(xUnpin(this.own, page, discard));
}

unsafe extern "C" fn rekey(
    this: *mut ffi::sqlite3_pcache,
    page: *mut ffi::sqlite3_pcache_page,
    old: c_uint,
    new: c_uint,
) {
    // SAFETY: SQLite's.
    let this = unsafe { cache(this) };
    own!(xRekey(this.own, page, this.key(old), this.key(new)));
}

unsafe extern "C" fn truncate(this: *mut ffi::sqlite3_pcache, limit: c_uint) {
    // SAFETY: SQLite's.
    let this = unsafe { cache(this) };
    own!(xTruncate(this.own, limit));
}

unsafe extern "C" fn destroy(this: *mut ffi::sqlite3_pcache) {
    // SAFETY: `create` made it so, and SQLite does not come back with it.
    let this = unsafe { Box::from_raw(this.cast::<Cache>()) };
    own!(xDestroy(this.own));
}

unsafe extern "C" fn shrink(this: *mut ffi::sqlite3_pcache) {
    // SAFETY: SQLite's.
    let this = unsafe { cache(this) };
    own!(xShrink(this.own));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_that_no_file_uses_is_0_for_the_cache() {
        let cache = Cache { own: null_mut(), pending: PENDING_BYTE / 4096 + 1 };
        assert_eq!([1, 262_144, 262_145, 262_146].map(|key| cache.key(key)), [1, 262_144, 0, 262_146]);
    }
}
