# The boot loader of the Linux flavour: sector 0 and the sectors after it, up to LOADER_BYTES.
#
# The idea: everything that can be decided is decided in Rust when the disk is made. The loader is told nothing
# but "these sectors go to these addresses" by the table below, copies them, and jumps into the kernel's own
# real-mode setup code, as Documentation/arch/x86/boot.rst of Linux wants it. Rust has already written the
# loader's fields into the setup header (type_of_loader, heap_end_ptr, cmd_line_ptr, ramdisk_image, ...).
#
# Memory while it runs:
#   0x00600  variables (drive, transfer packet, descriptors)
#   0x07c00  this code (stack grows down from here)
#   0x10000  32 KiB through which every sector passes: INT 13h cannot reach above 1 MiB, INT 15h AH=87h moves on
#   0x20000  the kernel's setup code, its heap and stack, the command line at 0x2e000
#   0x100000 the kernel; the initramfs above all that the kernel will unpack itself into
#
# AT&T syntax, accepted by GNU as and by LLVM. Addresses are written as (label - .Lloader + ORG), because nothing
# is linked: the bytes go to the disk as they are.

        .set    ORG, 0x7c00
        .set    DRIVE, 0x600                    # byte: the BIOS drive that we came from
        .set    PACKET, 0x610                   # INT 13h AH=42h: size, count, buffer offset:segment, 64-bit LBA
        .set    LEFT, 0x628                     # dword: sectors of this extent still to be read
        .set    DEST, 0x62c                     # dword: where the next chunk goes
        .set    GDT, 0x640                      # INT 15h AH=87h: six descriptors of 8 bytes
        .set    BOUNCE_SEGMENT, 0x1000
        .set    CHUNK, 64                       # sectors a read: 32 KiB, which no BIOS refuses
        .set    STAGE2_SECTORS, 3

        .code16
.Lloader:
        cli
        xor     %ax, %ax
        mov     %ax, %ss
        mov     $ORG, %sp
        mov     %ax, %ds
        mov     %ax, %es
        ljmp    $0, $(1f - .Lloader + ORG)      # some BIOSes jump to 07c0:0000
1:      sti
        cld
        mov     %dl, DRIVE

        # serial port 1: 115200 baud, 8 bits, no parity, FIFO on
        mov     $(.Luart - .Lloader + ORG), %si
        mov     $7, %cx
2:      lodsw                                   # low byte: register, high byte: value
        mov     $0x3f8, %dx
        add     %al, %dl
        mov     %ah, %al
        out     %al, %dx
        loop    2b

        mov     $(.Lhello - .Lloader + ORG), %si
        call    .Lputs

        # INT 13h extensions: without them no LBA reads
        mov     $0x41, %ah
        mov     $0x55aa, %bx
        mov     DRIVE, %dl
        int     $0x13
        jc      3f
        cmp     $0xaa55, %bx
        jne     3f
        test    $1, %cl
        jnz     4f
3:      mov     $(.Lno_lba - .Lloader + ORG), %si
        jmp     .Ldie

        # the second stage: the sectors after this one, to the place after this one
4:      movl    $((STAGE2_SECTORS << 16) | 16), PACKET
        movl    $(ORG + 512), PACKET + 4
        movl    $1, PACKET + 8
        movl    $0, PACKET + 12
        call    .Lread
        cmpl    $0x65727967, ORG + 512          # "gyre": the table's first word
        je      .Lstage2
.Lread_failed:
        mov     $(.Lbad_read - .Lloader + ORG), %si

# Prints the message at %si and stops for good.
.Ldie:
        call    .Lputs
5:      cli
        hlt
        jmp     5b

# Reads what PACKET says; does not return if the disk cannot be read.
.Lread:
        mov     $3, %bp                         # a real drive may need a second try
6:      mov     $PACKET, %si
        mov     $0x42, %ah
        mov     DRIVE, %dl
        int     $0x13
        jnc     7f
        xor     %ah, %ah                        # reset
        mov     DRIVE, %dl
        int     $0x13
        dec     %bp
        jnz     6b
        jmp     .Lread_failed
7:      ret

# Prints the NUL-terminated text at %si on the serial port.
.Lputs:
        lodsb
        test    %al, %al
        jz      7b
        call    .Lputc
        jmp     .Lputs

# Prints %al. The wait for an empty transmitter is bounded: a machine without the port must boot as well.
.Lputc:
        push    %cx
        push    %dx
        push    %ax
        xor     %cx, %cx
        mov     $0x3fd, %dx
8:      in      %dx, %al
        test    $0x20, %al
        loopz   8b
        pop     %ax
        mov     $0x3f8, %dx
        out     %al, %dx
        pop     %dx
        pop     %cx
        ret

.Luart:
        .byte   3, 0x80,  0, 1,  1, 0,  3, 3,  2, 7,  4, 3,  1, 0
.Lhello:
        .asciz  "gyre: loading"
.Lno_lba:
        .asciz  "\r\ngyre: this BIOS cannot read by block address\r\n"
.Lbad_read:
        .asciz  "\r\ngyre: the disk cannot be read\r\n"

        # Rust writes the disk's signature and the partition table here, 440..512
        .org    .Lloader + 440
.Lcode_end:
        .org    .Lloader + 512

# ---- second stage, 0x7e00 -------------------------------------------------------------------------------------

# The table, filled by Rust (disk.rs knows the same offsets). An extent: 12 bytes of name, first sector, number of
# sectors, address.
.Ltable:
        .ascii  "gyre"
.Lextents:
        .word   0                               # how many
.Lmemory:
        .word   0                               # MiB that the machine must have
.Lsetup:
        .word   0                               # segment of the kernel's setup code
        .word   0
        .org    .Ltable + 16                    # four extents
        .org    .Ltable + 16 + 4 * 24

.Lstage2:
        # enough memory? (INT 15h E801h: DX = 64 KiB blocks above 16 MiB)
        xor     %cx, %cx
        xor     %dx, %dx
        mov     $0xe801, %ax
        int     $0x15
        jc      11f                             # this BIOS does not say: try
        test    %dx, %dx
        jnz     10f
        mov     %bx, %dx
10:     shr     $4, %dx
        add     $16, %dx
        cmp     .Lmemory - .Lloader + ORG, %dx
        jae     11f
        mov     $(.Lsmall - .Lloader + ORG), %si
        jmp     .Ldie

11:     mov     $(.Ltable - .Lloader + ORG + 16), %di
        mov     .Lextents - .Lloader + ORG, %cx
12:     push    %cx
        call    .Lextent
        pop     %cx
        add     $24, %di
        loop    12b

        mov     $(.Lgo - .Lloader + ORG), %si
        call    .Lputs

        # as boot.rst says: all segments at the setup code, stack at the heap's end, to its second sector
        cli
        mov     .Lsetup - .Lloader + ORG, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %fs
        mov     %ax, %gs
        mov     %ax, %ss
        mov     $0xe000, %sp
        add     $0x20, %ax
        push    %ax
        xor     %ax, %ax
        push    %ax
        lret

# Copies the extent at %di to its address.
.Lextent:
        mov     $' ', %al
        call    .Lputc
        mov     %di, %si
        call    .Lputs
        movl    12(%di), %eax
        movl    %eax, PACKET + 8
        movl    16(%di), %eax
        movl    %eax, LEFT
        movl    20(%di), %eax
        movl    %eax, DEST

.Lchunk:
        movl    LEFT, %eax
        testl   %eax, %eax
        jz      7b
        cmpl    $CHUNK, %eax
        jbe     13f
        movl    $CHUNK, %eax
13:     mov     %ax, PACKET + 2
        movl    $(BOUNCE_SEGMENT << 16), PACKET + 4
        push    %di
        call    .Lread
        mov     PACKET + 2, %bx                 # sectors really read

        # descriptors: two empty, source, destination, two for the BIOS
        xor     %ax, %ax
        mov     $GDT, %di
        mov     $24, %cx
        rep     stosw
        movl    $0x0000ffff, GDT + 16
        movl    $(0x9300 | (BOUNCE_SEGMENT >> 12)), GDT + 20
        movl    $0x0000ffff, GDT + 24
        movl    DEST, %eax
        movl    %eax, GDT + 26                  # base 0..23, and the byte after it is overwritten
        movb    $0x93, GDT + 29
        shrl    $24, %eax
        movb    %al, GDT + 31
        mov     $GDT, %si
        mov     %bx, %cx
        shl     $8, %cx                         # words
        push    %bx
        mov     $0x87, %ah
        int     $0x15
        pop     %bx
        pop     %di
        jc      .Lno_move

        movzwl  %bx, %eax
        addl    %eax, PACKET + 8
        subl    %eax, LEFT
        shll    $9, %eax
        movl    DEST, %edx
        addl    %eax, DEST
        xorl    DEST, %edx
        testl   $0x200000, %edx                 # a dot every 2 MiB
        jz      .Lchunk
        mov     $'.', %al
        call    .Lputc
        jmp     .Lchunk

.Lno_move:
        mov     $(.Lbad_move - .Lloader + ORG), %si
        jmp     .Ldie

.Lgo:
        .asciz  ", starting\r\n"
.Lsmall:
        .asciz  "\r\ngyre: this machine has too little memory for the demo disk\r\n"
.Lbad_move:
        .asciz  "\r\ngyre: the BIOS cannot write above 1 MiB\r\n"

        .org    .Lloader + 512 + 512 * STAGE2_SECTORS
        .code64
