// SPDX-License-Identifier: GPL-3.0-or-later
// A TPM of a test's own: swtpm, its state in memory, gone with the object.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

namespace cs::test {

// One swtpm process. It serves one connection at a time: while a library holds one open, tool()
// waits for it until its limit. Dies with the thread that started it, as every Process.
class Swtpm {
 public:
  // A TPM fresh from the factory, started up, ready for its first command. Fails without
  // CAP_SYS_ADMIN.
  static Result<Swtpm> start();

  // What a TSS opens: "swtpm:path=…".
  [[nodiscard]] const std::string& tcti() const { return tcti_; }
  // A path for a file of the test's own, beside the TPM's state.
  [[nodiscard]] std::string file(const std::string& name) const { return scratch_.file(name); }

  // As a power cut does: at once, in whatever it is doing.
  void kill() { process_.reset(); }
  // Powered on again with the state it had; resetCount has grown. After kill().
  Result<void> power_on();
  // Reset under the connection that is open, and not started up: as _TPM_Init does.
  [[nodiscard]] Result<void> reset() const;

  // Runs one of tpm2-tools on it, {"tpm2_pcrread", "sha256:0"}, and returns what it printed.
  // `input` is its standard input.
  [[nodiscard]] Result<std::string> tool(std::vector<std::string> argv,
                                         const std::string& input = {}) const;

 private:
  explicit Swtpm(Scratch scratch);

  Scratch scratch_;
  std::string tcti_;
  std::optional<Process> process_;
};

}  // namespace cs::test
