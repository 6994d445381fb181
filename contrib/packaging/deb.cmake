# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What cpack makes: one .deb. What Debian wants that an installation elsewhere
# does not is done by stage.cmake, between the installation and the packing.

set(RAWMAP_MAINTAINER "rawmap maintainers <maintainers@rawmap.invalid>"
    CACHE STRING "Whom the package names: Name <mail address>")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME rawmap)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR rawmap)
set(CPACK_PACKAGE_CONTACT ${RAWMAP_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY
    "disk images inside unmounted ext filesystems, as files and devices")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Presents an image file that lies inside an unmounted ext2, ext3 or ext4
filesystem as a regular file or a loop device, through FUSE, with input and
output straight on the raw device. Writes into holes allocate blocks safely,
through the journal; discarding frees them.
.
It also shows what is inside disks in evidence: read-only, with the journal
replayed in memory, from raw, split or EWF images, or with all changes kept in
a file aside.")
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
# fusermount3; the libraries are found by their symbols.
set(CPACK_DEBIAN_PACKAGE_DEPENDS fuse3)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "e2fsprogs, qemu-utils")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/stage.cmake)
# cpack hands on only what begins with CPACK_.
set(CPACK_RAWMAP_SOURCE_DIR ${PROJECT_SOURCE_DIR})
set(CPACK_RAWMAP_LIBEXECDIR ${CMAKE_INSTALL_LIBEXECDIR})
include(CPack)
