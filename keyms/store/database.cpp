// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <iomanip>
#include <sstream>

namespace cs::keyms {

namespace {

constexpr int most_bytes = 17 * 1024 * 1024;  // of one value

// " by keymsd (process 12)", as /proc/locks tells; asking the file itself would end our own locks.
std::string holder_of(const std::string& path) {
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) return "";
  std::ostringstream wanted;
  wanted << std::hex << std::setfill('0') << std::setw(2) << major(file.st_dev) << ':'
         << std::setw(2) << minor(file.st_dev) << ':' << std::dec << file.st_ino;
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    // "3: POSIX  ADVISORY  WRITE 1234 fe:01:4711 1073741824 1073742335"
    std::istringstream words(line);
    std::array<std::string, 6> word;
    for (std::string& one : word) words >> one;
    if (word[5] != wanted.str()) continue;
    const std::string process = "process " + word[4];
    std::ifstream comm("/proc/" + word[4] + "/comm");
    std::string name;
    std::getline(comm, name);
    return " by " + (name.empty() ? process : name.append(" (").append(process).append(")"));
  }
  return "";
}

Error damaged(const std::string& path, std::string_view why) {
  return Error(ErrorKind::invalid, path + ": the file is damaged: " + std::string(why))
      .with_hint("nothing was deleted; countersign recover tells what is lost and what to do");
}

Error not_writable(const std::string& path) {
  return Error(ErrorKind::denied, path + ": it cannot be written")
      .with_hint("is its file system mounted read-only?");
}

Result<void> check_file(const std::string& path) {
  struct stat file {};
  if (::lstat(path.c_str(), &file) != 0) return from_errno(errno, "opening " + path);
  if (!S_ISREG(file.st_mode)) {
    return Error(ErrorKind::invalid, "opening " + path + ": it is no regular file");
  }
  if (file.st_uid == ::geteuid() && (file.st_mode & (S_IRWXG | S_IRWXO)) == 0) return {};
  return Error(ErrorKind::denied, "opening " + path + ": it is not this user's alone")
      .with_hint("chown it to the user that keymsd runs as, and chmod 600 it");
}

// `trusted_schema` and its like: a file that somebody else wrote must not run SQL of its own.
constexpr std::array settings{
    "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=DELETE",  "PRAGMA synchronous=EXTRA",
    "PRAGMA trusted_schema=OFF",     "PRAGMA cell_size_check=ON",   "PRAGMA secure_delete=ON",
    "PRAGMA temp_store=MEMORY",      "PRAGMA max_page_count=16384",
};

}  // namespace

void Query::Finalize::operator()(sqlite3_stmt* statement) const noexcept {
  sqlite3_finalize(statement);
}

void Database::Close::operator()(sqlite3* database) const noexcept {
  sqlite3_close_v2(database);
}

Query& Query::bind(std::int64_t value) {
  bind_failed_ |= sqlite3_bind_int64(statement_.get(), ++bound_, value) != SQLITE_OK;
  return *this;
}

Query& Query::bind(std::string_view value) {
  bind_failed_ |= sqlite3_bind_text64(statement_.get(), ++bound_, value.data(), value.size(),
                                      SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK;
  return *this;
}

Query& Query::bind(ByteView value) {
  // SQLite takes a null pointer for NULL, even of no bytes.
  constexpr std::uint8_t empty = 0;
  bind_failed_ |=
      sqlite3_bind_blob64(statement_.get(), ++bound_, value.empty() ? &empty : value.data(),
                          value.size(), SQLITE_STATIC) != SQLITE_OK;
  return *this;
}

Result<bool> Query::step() {
  if (bind_failed_) return of_->failure();
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  // Before it resets, as that would forget why.
  Result<bool> outcome = code == SQLITE_DONE ? Result<bool>(false) : of_->failure();
  sqlite3_reset(statement_.get());
  bound_ = 0;
  return outcome;
}

Result<void> Query::run() {
  CS_TRY(const bool row, step());
  if (!row) return {};
  return Error(ErrorKind::internal, "a statement that should give nothing gives a row");
}

std::int64_t Query::number(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view Query::text(int column) const {
  const ByteView all = bytes(column);
  return {reinterpret_cast<const char*>(all.data()), all.size()};
}

ByteView Query::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return {static_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size)};
}

Result<void> Database::connect(const std::string& name) {
  sqlite3* opened = nullptr;
  const int code =
      sqlite3_open_v2(name.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  sqlite_.reset(opened);  // also after a failure, unless there was no memory
  if (opened == nullptr) return Error(ErrorKind::limit, "opening " + path_ + ": no memory");
  if (code != SQLITE_OK) return failure().context("opening");
  sqlite3_extended_result_codes(opened, 1);
  sqlite3_limit(opened, SQLITE_LIMIT_LENGTH, most_bytes);
  sqlite3_limit(opened, SQLITE_LIMIT_ATTACHED, 0);
  for (const int off : {SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW}) {
    sqlite3_db_config(opened, off, 0, nullptr);
  }
  sqlite3_db_config(opened, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  for (const char* setting : settings) {
    CS_CHECK(run_all(setting).context("opening"));
  }
  return {};
}

Result<std::unique_ptr<Database>> Database::in_memory() {
  std::unique_ptr<Database> made(new Database("a database in memory"));
  CS_CHECK(made->connect(":memory:"));
  return made;
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path) {
  CS_CHECK(check_file(path));
  std::unique_ptr<Database> opened(new Database(path));
  CS_CHECK(opened->connect(path));
  // SQLite would content itself with reading.
  if (sqlite3_db_readonly(opened->sqlite_.get(), "main") != 0) return not_writable(path);
  // Locked from here on; what was cut off is undone.
  CS_CHECK(opened->run("BEGIN EXCLUSIVE").context("opening"));
  CS_CHECK(opened->run("COMMIT").context("opening"));
  CS_TRY(Query mode, opened->prepare("PRAGMA journal_mode"));
  CS_TRY(const bool known, mode.step());
  if (!known || mode.text(0) != "delete") {
    return Error(ErrorKind::invalid, "opening " + path + ": it is kept with another journal");
  }
  CS_TRY(Query check, opened->prepare("PRAGMA integrity_check(1)"));
  CS_TRY(const bool row, check.step());
  if (row && check.text(0) == "ok") return opened;
  return damaged(path, row ? check.text(0) : "it cannot be checked");
}

Result<Query> Database::prepare(std::string_view sql) {
  sqlite3_stmt* prepared = nullptr;
  const int code = sqlite3_prepare_v2(sqlite_.get(), sql.data(), static_cast<int>(sql.size()),
                                      &prepared, nullptr);
  Query statement(*this, prepared);
  if (code != SQLITE_OK) return failure();
  return statement;
}

Result<void> Database::run(std::string_view sql) {
  CS_TRY(Query statement, prepare(sql));
  return statement.run();
}

Result<void> Database::run_all(const char* sql) {
  if (sqlite3_exec(sqlite_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return failure();
}

Result<std::int64_t> Database::number(std::string_view sql) {
  CS_TRY(Query statement, prepare(sql));
  CS_TRY(const bool row, statement.step());
  if (row) return statement.number(0);
  return Error(ErrorKind::internal, "a statement that should give a number gives nothing");
}

Result<void> Database::begin() {
  int moved = 0;
  sqlite3_file_control(sqlite_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (moved != 0) {
    return Error(ErrorKind::not_found,
                 "writing " + path_ + ": it was removed or replaced meanwhile")
        .with_hint("put it back, or restart keymsd to work with what is there now");
  }
  return run("BEGIN EXCLUSIVE");
}

Result<void> Database::end(Result<void> done) {
  if (done.ok()) done = run("COMMIT");
  // Some failures have undone it already.
  if (!done.ok() && sqlite3_get_autocommit(sqlite_.get()) == 0) {
    const auto undone = run("ROLLBACK");
    if (!undone.ok()) return std::move(done).context("also " + undone.error().message());
  }
  return done;
}

Error Database::failure() const {
  const int code = sqlite3_extended_errcode(sqlite_.get());
  const int number = sqlite3_system_errno(sqlite_.get());
  const std::string says = ": SQLite says: " + std::string(sqlite3_errmsg(sqlite_.get()));
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Error(ErrorKind::busy, path_ + ": it is in use" + holder_of(path_))
          .with_retry(Retry::after_delay);
    case SQLITE_FULL:
      return Error(ErrorKind::limit, path_ + ": there is no room for it, nothing was changed")
          .with_hint("make room on its file system; it may be 64 MiB");
    case SQLITE_READONLY:
      return not_writable(path_);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return damaged(path_, sqlite3_errmsg(sqlite_.get()));
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
      if (number != 0) return from_errno(number, path_);
      return {ErrorKind::io, path_ + says};
    case SQLITE_TOOBIG:
      return {ErrorKind::limit, path_ + says};
    default:
      return {ErrorKind::internal, path_ + says};
  }
}

}  // namespace cs::keyms
