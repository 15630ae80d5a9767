# SPDX-License-Identifier: GPL-3.0-or-later
# Warnings and hardening for every target of the project, set once.
# tests/checks/hardening.py reads them back from the compile commands and from
# the finished binaries, so a flag lost here turns the suite red.

option(CS_ASSERTIONS "Keep assert() and the checks of the standard library" OFF)
option(CS_COVERAGE "Instrument for gcov" OFF)
option(CS_FUZZ "Build the libFuzzer targets (clang)" OFF)
set(CS_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")

add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
# At -O3 this compiler sees an overlap in "..." + std::string that cannot be (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13 AND CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-Wno-restrict)
endif()

# The build type's own -O2/-O3 stays; NDEBUG goes where assertions are wanted.
if(CS_ASSERTIONS)
  string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELWITHDEBINFO "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
endif()

# Line numbers for backtraces and coverage; the rest of -g doubles what the compiler writes.
string(REGEX REPLACE "-g( |$)" "-g1\\1" CMAKE_CXX_FLAGS_RELWITHDEBINFO "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")

# Command lines and JSON run once: their headers take five times as long at -O2.
function(cs_compile_quickly)
  if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS -O1)
  endif()
endfunction()

# The demo preset compiles a library's files as one; not these, whose anonymous namespaces have a name that is in another one's, too.
function(cs_compile_alone)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# Position independent executables: compile and link.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)

add_compile_options(-fstack-protector-strong -fstack-clash-protection -fno-common)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options(-fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64")
  add_compile_options(-mbranch-protection=standard)
endif()
add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)

if(CS_SANITIZE)
  # FORTIFY hides from ASan what it intercepts, so the two exclude each other.
  add_compile_options(-fsanitize=${CS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CS_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # What the sanitizer puts in makes it suspect the standard library's own code.
    add_compile_options(-Wno-maybe-uninitialized)
  endif()
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  # Needs optimisation, hence not in Debug; distributions predefine another level.
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

if(CS_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()

if(CS_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "CS_FUZZ needs clang's libFuzzer; configure with: cmake --preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
