// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/swtpm.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <thread>
#include <utility>

#include "base/unique_fd.h"

namespace cs::test {
namespace {

constexpr std::chrono::seconds start_limit{10};
constexpr std::chrono::seconds tool_limit{60};

// None: nothing listens there.
UniqueFd connected(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return {};
  std::ranges::copy(path, std::begin(address.sun_path));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return fd;
  }
  return {};
}

}  // namespace

Swtpm::Swtpm(Scratch scratch)
    : scratch_(std::move(scratch)), tcti_("swtpm:path=" + scratch_.file("tpm")) {}

Result<Swtpm> Swtpm::start() {
  CS_TRY(Scratch scratch, Scratch::create());
  Swtpm tpm(std::move(scratch));
  CS_CHECK(tpm.power_on());
  return tpm;
}

// libtss2's TCTI takes for granted that the control socket of PATH is PATH.ctrl.
Result<void> Swtpm::power_on() {
  if (process_) return Error(ErrorKind::internal, "powering on a TPM that runs");
  const std::string path = file("tpm");
  for (const auto& socket : {path, path + ".ctrl"}) unlink(socket.c_str());
  CS_TRY(Process process,
         Process::start(
             {.argv = {"swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + file(""), "--server",
                       "type=unixio,path=" + path, "--ctrl", "type=unixio,path=" + path + ".ctrl",
                       "--flags", "not-need-init,startup-clear"}}));
  process_.emplace(std::move(process));
  const auto deadline = std::chrono::steady_clock::now() + start_limit;
  while (!connected(path)) {
    if (std::chrono::steady_clock::now() > deadline) {
      CS_TRY(const Outcome outcome, process_->wait(std::chrono::milliseconds(0)));
      process_.reset();
      return Error(ErrorKind::timed_out, "starting swtpm: " + outcome.output);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return {};
}

// CMD_INIT of swtpm's control channel, without flags; the answer is 0.
Result<void> Swtpm::reset() const {
  constexpr std::array<std::uint8_t, 8> init{0, 0, 0, 2, 0, 0, 0, 0};
  std::array<std::uint8_t, 4> answer{1};
  const UniqueFd control = connected(file("tpm.ctrl"));
  if (write(control.get(), init.data(), init.size()) != std::ssize(init) ||
      read(control.get(), answer.data(), answer.size()) != std::ssize(answer) ||
      answer != std::array<std::uint8_t, 4>{}) {
    return Error(ErrorKind::io, "resetting swtpm");
  }
  return {};
}

Result<std::string> Swtpm::tool(std::vector<std::string> argv, const std::string& input) const {
  const std::string name = argv.front();
  argv.insert(argv.begin() + 1, {"-T", tcti_});
  CS_TRY(Outcome outcome, run({.argv = std::move(argv), .input = input}, tool_limit));
  if (outcome.timed_out) return Error(ErrorKind::timed_out, "running " + name);
  if (outcome.exit_code != 0) {
    return Error(ErrorKind::io, name + " says: " + outcome.output);
  }
  return std::move(outcome.output);
}

}  // namespace cs::test
