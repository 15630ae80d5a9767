// SPDX-License-Identifier: GPL-3.0-or-later
// SQLite, as much of it as the store needs: one file that only one process has open, and that a
// loss of power at any moment leaves as it was before a transaction or after it.
//
// How: a rollback journal with synchronous=EXTRA. The pages as they were are on the disk before a
// page is changed, the changed ones before the journal is made void, and that before a commit
// returns: the TPM's counter counts only then, and what it has counted must never come undone. A
// write-ahead log would need a second file for as long as the store exists.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace cs::keyms {

class Database;

// One statement, prepared. What is bound must outlive the next step.
class Query {
 public:
  Query& bind(std::int64_t value);
  Query& bind(std::string_view value);
  Query& bind(ByteView value);
  // Whether there is a row now. After the last one it begins anew.
  [[nodiscard]] Result<bool> step();
  // For what has no rows.
  [[nodiscard]] Result<void> run();

  // Of the row; views live until the next step.
  [[nodiscard]] std::int64_t number(int column) const;
  [[nodiscard]] std::string_view text(int column) const;
  [[nodiscard]] ByteView bytes(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };
  Query(const Database& of, sqlite3_stmt* statement) : of_(&of), statement_(statement) {}

  const Database* of_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bound_ = 0;
  bool bind_failed_ = false;
};

// Not for two threads at a time. Stays where it is: statements point to it.
class Database {
 public:
  // In memory only.
  [[nodiscard]] static Result<std::unique_ptr<Database>> in_memory();
  // A file that is there, of this user alone. Refused: busy, another process has it (which);
  // denied, others may read or write it, or the file system is read-only; invalid, it is damaged or
  // none of SQLite's. Undoes what was cut off in the middle.
  [[nodiscard]] static Result<std::unique_ptr<Database>> open(const std::string& path);

  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  Database(Database&&) = delete;
  Database& operator=(Database&&) = delete;
  ~Database() = default;

  [[nodiscard]] Result<Query> prepare(std::string_view sql);
  // A statement without parameters and without rows.
  [[nodiscard]] Result<void> run(std::string_view sql);
  // Several statements of that kind.
  [[nodiscard]] Result<void> run_all(const char* sql);
  // Of a statement that gives one number, as PRAGMA user_version does.
  [[nodiscard]] Result<std::int64_t> number(std::string_view sql);
  // All of `change` or nothing; nothing if it fails. When committing fails, nobody knows which
  // until the file is opened anew. Refused (not_found): the file is no longer at its path.
  template <class Change>
  [[nodiscard]] Result<void> transaction(Change&& change) {
    CS_CHECK(begin());
    return end(std::forward<Change>(change)());
  }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // What SQLite last found wrong, for a person.
  [[nodiscard]] Error failure() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const noexcept;
  };
  explicit Database(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] Result<void> connect(const std::string& name);
  [[nodiscard]] Result<void> begin();
  [[nodiscard]] Result<void> end(Result<void> done);

  std::string path_;  // for errors
  std::unique_ptr<sqlite3, Close> sqlite_;
};

}  // namespace cs::keyms
