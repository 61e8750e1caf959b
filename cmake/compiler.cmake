# Finds the C++ compiler, and what differs between compilers.

# With a compiler that is missing, CMake's own error fills a screen.
include(CheckLanguage)
check_language(CXX)
if(NOT CMAKE_CXX_COMPILER)
  set(install "install GCC 11 or newer, or Clang 14 or newer")
  if(CMAKE_HOST_WIN32)
    set(install "install Clang for Windows (winget install LLVM.LLVM) and set CXX=clang-cl")
  elseif(CMAKE_HOST_APPLE)
    set(install "run: xcode-select --install")
  elseif(EXISTS /etc/debian_version)
    set(install "run: apt install g++")
  elseif(EXISTS /etc/redhat-release)
    set(install "run: dnf install gcc-c++")
  elseif(EXISTS /etc/alpine-release)
    set(install "run: apk add g++")
  endif()
  if(DEFINED ENV{CXX})
    set(install "CXX is $ENV{CXX}; unset it, or ${install}")
  endif()
  message(FATAL_ERROR " fastrnn: no C++ compiler found; ${install}")
endif()
enable_language(CXX)

if(MSVC AND NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR " fastrnn: Microsoft's cl has no vector extensions; "
    "configure with -T ClangCL, or with -G Ninja and CXX=clang-cl")
endif()

# Contraction is off so that a multiply-add is fused only where the source says so.
# clang-cl ignores the plain option, and contracts. Its -Wall is all that there are.
set(FASTRNN_NO_CONTRACTION -ffp-contract=off)
set(FASTRNN_KERNEL_OPTIONS
  -fno-math-errno -fno-trapping-math -fno-exceptions -fno-rtti -fno-lto)
set(FASTRNN_WARNINGS -Wall -Wextra -Wshadow)
# So that a linker can leave out single functions.
set(FASTRNN_SECTIONS -ffunction-sections -fdata-sections)
if(MSVC)
  set(FASTRNN_NO_CONTRACTION /clang:-ffp-contract=off)
  set(FASTRNN_KERNEL_OPTIONS /clang:-fno-math-errno /clang:-fno-trapping-math)
  set(FASTRNN_WARNINGS -W4 -Wshadow)
  set(FASTRNN_SECTIONS "")
endif()

# Whether the compiler defines a macro.
function(fastrnn_compiles_for macro result)
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
  include(CheckCXXSourceCompiles)
  check_cxx_source_compiles("
#if !defined(${macro})
#error
#endif
" ${result})
endfunction()
