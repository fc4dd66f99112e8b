@echo off
rem wslk: back to a WSL that starts. Needs nothing but Windows: double-click it.
rem
rem   rollback.cmd            one step back: to what worked last; if that is in place already, to the stock kernel
rem   rollback.cmd previous   to what worked last; once more returns
rem   rollback.cmd stock      to the stock kernel
rem
rem Windows itself calls it with "interrupted" (RunOnce) after a trial that it did not survive, trial.cmd with
rem "--restore", "--settle" and "--stop". Exit code: 0 done or nothing to do, 2 not done.
rem
rem How it is written, and why:
rem - .wslconfig is never edited, only replaced whole by a rename within its own folder: it is old or new.
rem - Delayed expansion stays off, or it would eat the "!" of a user name. Values stand between quotes, or are
rem   for-variables, since "&", "^" and brackets are harmless there.
rem - All our own files are named from this folder, the working directory: no odd path goes through CALL, which
rem   expands "%%" and doubles "^" once more.
rem - Numbers are compared as text: wsl.exe ends with -1, and IF ERRORLEVEL 1 takes that for success.
rem - One command per line where a value has just been set: a line is expanded as a whole, before it runs.
setlocal enableextensions disabledelayedexpansion
cd /d "%~dp0"
set "WSL_UTF8=1"
set wsl=wsl.exe
if defined WSLK_WSL set wsl=cmd /d /c %WSLK_WSL%
rem The fc of wine calls all files the same: the tests bring another.
set fc="%SystemRoot%\System32\fc.exe"
if defined WSLK_FC set fc=cmd /d /c %WSLK_FC%
if not defined WSLK_TICK set "WSLK_TICK=2"
set "runonce=HKCU\Software\Microsoft\Windows\CurrentVersion\RunOnce"
rem What was laid by for a full disk. A trial that only wants WSL stopped leaves it.
if not "%~1"=="--shutdown" if not "%~1"=="--stop" del /f /q reserve >nul 2>&1
if not exist state\ mkdir state >nul 2>&1
rem What one line leaves for the next goes elsewhere where this folder cannot be written to.
set "scratch=state"
>state\probe.tmp echo 1
if not exist state\probe.tmp set "scratch=%TEMP%\wslk"
del /q state\probe.tmp >nul 2>&1
if not exist "%scratch%\" mkdir "%scratch%" >nul 2>&1
if "%~1"=="--shutdown" goto shutdown_now
if "%~1"=="--stop" goto stop_only
rem The small files are UTF-8. Wine knows no code pages and says so: let it.
set "codepage="
for /f "tokens=2 delims=:." %%c in ('chcp 2^>nul') do set "codepage=%%c"
chcp 65001 >nul 2>&1
if not exist backups\ mkdir backups >nul 2>&1
rem Leftovers of a run that was cut off.
del /q "%scratch%\*.tmp" state\verdict.new state\trial.new >nul 2>&1
call :read_all
if exist "%config%.wslk-new" del /f /q "%config%.wslk-new" >nul 2>&1
call :look
set "reason="
set "saved="
if "%~1"=="--settle" goto settle
if "%~1"=="--restore" goto restore
if "%~1"=="interrupted" goto interrupted
if "%~1"=="previous" goto previous
if "%~1"=="stock" goto stock
if "%~1"=="" goto step_back
echo Say "rollback.cmd", "rollback.cmd previous" or "rollback.cmd stock".
call :leave
exit /b 2

rem ---- what was asked for

:step_back
if defined at_stock goto nothing
if defined at_good goto to_stock
if defined at_new goto to_good
call :takes_a_kernel
if not defined takes goto nothing
goto to_good

:previous
if defined at_new goto to_good
if defined at_good goto to_new
goto to_good

:stock
if defined at_stock goto nothing
if defined edited call :takes_a_kernel
if defined edited if not defined takes goto nothing
goto to_stock

:to_good
call :restore_good
goto finish

:to_stock
call :restore_stock
goto finish

:to_new
set "failed="
if exist state\verdict.txt for /f "usebackq tokens=1,* delims==" %%a in ("state\verdict.txt") do if "%%a=%%b"=="verdict=reverted" set "failed=1"
if defined failed goto to_new_refused
if not defined new goto nothing
set "way=%new%"
call :restore_way
set "to=current"
goto finish

:to_new_refused
echo The kernel before this one failed its trial: state\verdict.txt says why. It is not put back.
goto nothing

:finish
if not "%result%"=="0" goto failed
set "reason=rollback.cmd"
call :end_trial rolled-back
echo .wslconfig is now: %to% (current, previous: a kernel of wslk or your own; stock: the one of WSL).
if defined saved echo It had been edited. The edited file is kept as "%saved%" in "%~dp0".
if "%method%"=="head" echo Your own lines are all still there. Four lines at the top switch the kernel off.
call :shutdown
echo Start WSL as usual; "wslk status" in it tells more.
goto done

:nothing
set "to=stock"
if defined at_good set "to=previous"
if defined at_new set "to=current"
if defined at_stock set "to=stock"
set "reason=rollback.cmd found nothing to do"
if exist state\trial.txt call :end_trial rolled-back
echo Nothing to do: .wslconfig asks for %to% already.
if not "%to%"=="stock" echo If WSL does not start with it: "rollback.cmd stock".
call :shutdown
goto done

:done
call :leave
exit /b 0

:failed
echo Not done: "%config%" could not be replaced. Close the programs that have it open, and try again.
call :leave
exit /b 2

rem ---- what Windows and trial.cmd ask for

:interrupted
if not exist state\trial.txt goto interrupted_over
set "ended="
if exist state\verdict.txt for /f "usebackq tokens=1,* delims==" %%a in ("state\verdict.txt") do if "%%a=%%b"=="number=%number%" set "ended=1"
if defined ended goto interrupted_after
if not "%phase%"=="running" goto interrupted_over
echo Windows stopped during the trial of a kernel: back to what worked.
rem At stock already: then the good one has failed in this trial too.
set "to=stock"
set "result=0"
if not defined at_stock call :restore_good
if not "%result%"=="0" goto failed
set "reason=Windows stopped during the trial"
call :end_trial reverted
call :shutdown
goto done

:interrupted_after
call :settle_bytes
del /q state\trial.txt >nul 2>&1
:interrupted_over
call :forget_runonce
goto done

:settle
call :settle_bytes
call :leave
exit /b 0

:restore
if "%~2"=="stock" (call :restore_stock) else (call :restore_good)
rem For trial.cmd, which writes the verdict. Under wine a called script can only say zero or one.
if defined saved >state\saved.txt echo %saved%
if "%result%"=="0" >state\restored.txt echo %to%
call :leave
exit /b %result%

:stop_only
call :shutdown
exit /b 0

rem ---- restoring: sets result (0: done), to, saved, method

:restore_good
set "to=previous"
set "method=none"
set "result=0"
if defined at_good if defined at_stock set "to=stock"
if defined at_good exit /b 0
if not defined good goto restore_stock
if "%good%"=="%stock%" goto restore_stock
if not "%good%"=="none" if not exist "candidates\%good%" goto restore_stock
call :good_is_stock
if defined same goto restore_stock
set "way=%good%"
if defined edited call :save
goto restore_way

:restore_stock
set "to=stock"
set "method=none"
set "result=0"
if defined at_stock exit /b 0
set "way=%stock%"
rem Without the right bytes what is there stays, as if the user had written it.
if not defined way set "edited=1"
if not defined edited goto restore_stock_bytes
call :takes_a_kernel
if not defined takes exit /b 0
call :save
if defined plain goto put_head
:restore_stock_bytes
if not defined way goto no_file
if not "%way%"=="none" if not exist "candidates\%way%" goto no_file
:restore_way
set "method=copy"
if "%way%"=="none" goto no_file
set "from=candidates\%way%"
goto put

rem WSL takes the first of two lines with the same key, and nothing for "the packaged kernel". So four lines on
rem top switch the kernel off, and every byte of the user's file stays as it is.
:put_head
set "method=head"
>"%scratch%\head.tmp" echo # Kernel switched off by rollback.cmd of wslk. "wslk status" tells more.
>>"%scratch%\head.tmp" echo [wsl2]
>>"%scratch%\head.tmp" echo kernel=
>>"%scratch%\head.tmp" echo kernelModules=
copy /b /y "%scratch%\head.tmp"+"%config%" "%scratch%\headed.tmp" >nul
set "from=%scratch%\headed.tmp"
goto put

:no_file
set "method=delete"
if not exist "%config%" exit /b 0
if defined edited if not defined saved set "result=2"
if "%result%"=="2" exit /b 0
del /f /q "%config%" >nul 2>&1
if exist "%config%" attrib -r -s -h "%config%" >nul 2>&1
if exist "%config%" del /f /q "%config%" >nul 2>&1
if exist "%config%" set "result=2"
exit /b 0

rem Puts the bytes of %from% in place. An editor or a virus scanner may hold the file for a moment: some tries.
:put
set "result=2"
set "tries=0"
rem Edits that could not be saved (a full disk) are not written over. Below a head they stay anyway.
if defined edited if not defined saved if not "%method%"=="head" exit /b 0
:put_again
set /a tries+=1
call :put_once
if "%result%"=="0" exit /b 0
del /f /q "%config%.wslk-new" >nul 2>&1
if "%tries%"=="5" exit /b 0
attrib -r -s -h "%config%" >nul 2>&1
call :tick
goto put_again

:put_once
copy /b /y "%from%" "%config%.wslk-new" >nul 2>&1
rem Some COPY make no copy of an empty file.
for %%g in ("%from%") do if "%%~zg"=="0" type nul >"%config%.wslk-new"
set "left=%config%.wslk-new"
set "right=%from%"
call :identical
if not defined same exit /b 0
move /y "%config%.wslk-new" "%config%" >nul 2>&1
if "%errorlevel%"=="0" set "result=0"
exit /b 0

rem The trial's debugConsoleLogFile goes again, if nobody touched the file since.
:settle_bytes
if not defined blessed exit /b 0
if not exist "candidates\%blessed%" exit /b 0
if not defined at_trial exit /b 0
set "way=%blessed%"
goto restore_way

rem ---- looking: sets at_new, at_trial, at_good, at_stock, edited, plain, unread, takes. Only where there is no
rem .wslconfig it is sure to be stock: one that cannot be read may name any kernel.

:look
set "at_new="
set "at_trial="
set "at_good="
set "at_stock="
set "edited="
set "plain="
set "unread="
if exist "%config%" set "unread=1"
rem Nothing is done where the redirection fails.
if exist "%config%" <"%config%" set "unread="
set "way=%new%"
call :is_way
set "at_trial=%same%"
set "at_new=%same%"
set "way=%blessed%"
if not defined at_new call :is_way
if not defined at_new set "at_new=%same%"
set "way=%stock%"
call :is_way
set "at_stock=%same%"
set "way=%good%"
call :is_way
set "at_good=%same%"
rem Whoever knows of no good one, and has no file, is at the stock kernel.
if not exist "%config%" set "at_stock=1"
if not defined at_new if not defined at_good if not defined at_stock set "edited=1"
rem A byte order mark or UTF-16 shows in the first character; a file may begin otherwise, but few do.
if defined unread exit /b 0
if not exist "%config%" exit /b 0
set "first="
set /p first=<"%config%"
if not defined first exit /b 0
set "first=%first:"= %"
if "%first:~0,1%"=="[" set "plain=1"
if "%first:~0,1%"=="#" set "plain=1"
exit /b 0

rem Sets same if .wslconfig is what %way% says.
:is_way
set "same="
if not defined way exit /b 0
if "%way%"=="none" if not exist "%config%" set "same=1"
if "%way%"=="none" exit /b 0
if not exist "candidates\%way%" exit /b 0
if not exist "%config%" exit /b 0
set "left=%config%"
set "right=candidates\%way%"
goto identical

:good_is_stock
set "same="
if not defined stock exit /b 0
if not exist "candidates\%good%" exit /b 0
if not exist "candidates\%stock%" exit /b 0
set "left=candidates\%good%"
set "right=candidates\%stock%"
goto identical

rem Sets same if %left% and %right% have the same bytes. A missing fc.exe means no: then edits are thought of, and kept.
:identical
set "same="
set "size="
set "other="
for %%g in ("%left%") do set "size=%%~zg"
for %%g in ("%right%") do set "other=%%~zg"
if not defined size exit /b 0
if not "%size%"=="%other%" exit /b 0
if "%size%"=="0" set "same=1"
if "%size%"=="0" exit /b 0
%fc% /b "%left%" "%right%" >nul 2>&1
if "%errorlevel%"=="0" set "same=1"
exit /b 0

rem Sets takes unless the edited file surely names no kernel. FIND cannot be trusted with UTF-16: then it may.
:takes_a_kernel
set "takes=1"
if not exist "%config%" set "takes="
if defined unread exit /b 0
if not defined plain exit /b 0
find /i "kernel" "%config%" >nul 2>&1
rem The find of wine 8 has no /i and ends with 2.
if "%errorlevel%"=="2" find "kernel" "%config%" >nul 2>&1
if "%errorlevel%"=="1" set "takes="
find "switched off by rollback.cmd of wslk" "%config%" >nul 2>&1
if "%errorlevel%"=="0" set "takes="
exit /b 0

rem Keeps the edited file under the first free name.
:save
if defined saved exit /b 0
if not exist "%config%" exit /b 0
set "copies=0"
:save_next
set /a copies+=1
if exist "backups\%number%-edited-%copies%.wslconfig" goto save_next
copy /b /y "%config%" "backups\%number%-edited-%copies%.wslconfig" >nul 2>&1
set "left=backups\%number%-edited-%copies%.wslconfig"
set "right=%config%"
call :identical
if defined same set "saved=backups\%number%-edited-%copies%.wslconfig"
exit /b 0

rem ---- the small files. They may be damaged: nothing that is read is believed before it is looked at.

:read_all
for %%v in (number phase new good stock blessed config new_size good_size stock_size blessed_size) do set "%%v="
call :read state\undo.txt
call :read state\trial.txt
if defined number set "number=%number:"=%"
if defined phase set "phase=%phase:"=%"
if defined config set "config=%config:"=%"
rem CMD reads "set x=%%x:y=z%%" of an undefined x as text: only defined ones are mended.
if defined number for /f "delims=0123456789" %%x in ("%number%") do set "number="
if not defined number if defined new for /f "delims=-" %%n in ("%new%") do set "number=%%n"
if defined number for /f "delims=0123456789" %%x in ("%number%") do set "number="
if not defined number set "number=0000"
if defined config for %%g in ("%config%") do if /i not "%%~nxg"==".wslconfig" set "config="
if defined config for %%g in ("%config%") do if not exist "%%~dpg" set "config="
if not defined config for %%g in ("..\..") do if /i "%%~nxg"=="AppData" set "config=..\..\..\.wslconfig"
if not defined config set "config=%USERPROFILE%\.wslconfig"
exit /b 0

rem Of the paths of candidates only the names are taken: all lie in one folder. The usual place of .wslconfig is
rem named from here, so that no letter of the user's name matters.
:read
if not exist "%~1" exit /b 0
for /f "usebackq tokens=1,* delims==" %%a in ("%~1") do (
    if "%%a"=="number" set "number=%%b"
    if "%%a"=="phase" set "phase=%%b"
    if "%%a"=="new" set "new=%%~nxb"
    if "%%a"=="good" set "good=%%~nxb"
    if "%%a"=="stock" set "stock=%%~nxb"
    if "%%a"=="blessed" set "blessed=%%~nxb"
    if "%%a"=="new-size" set "new_size=%%b"
    if "%%a"=="good-size" set "good_size=%%b"
    if "%%a"=="stock-size" set "stock_size=%%b"
    if "%%a"=="blessed-size" set "blessed_size=%%b"
    if "%%a"=="wslconfig" set "config=%%b"
    if "%%a"=="wslconfig" for %%r in ("..\..\..\.wslconfig") do if /i "%%~fr"=="%%b" set "config=..\..\..\.wslconfig"
)
set "name=%new%"
set "want=%new_size%"
call :known
set "new=%name%"
set "name=%good%"
set "want=%good_size%"
call :known
set "good=%name%"
set "name=%stock%"
set "want=%stock_size%"
call :known
set "stock=%name%"
set "name=%blessed%"
set "want=%blessed_size%"
call :known
set "blessed=%name%"
exit /b 0

rem Clears %name% unless it is "none" or a candidate's of %want% bytes: a power cut may leave it empty. FOR finds
rem no file for a name with a wildcard.
:known
if not defined name exit /b 0
set "name=%name:"=%"
if "%name%"=="none" exit /b 0
set "known="
for %%g in ("%name%") do if /i "%%~xg"==".wslconfig" if exist "candidates\%name%" set "known=1"
if not defined known set "name="
if not defined name exit /b 0
if defined want set "want=%want:"=%"
set "size="
for %%g in ("candidates\%name%") do set "size=%%~zg"
if not defined want if "%size%"=="0" set "name="
if not defined want exit /b 0
if not "%size%"=="%want%" set "name="
exit /b 0

rem Writes the verdict, then ends the trial: in this order, so that a trial is never without one.
:end_trial
>state\verdict.new echo number=%number%
>>state\verdict.new echo verdict=%~1
>>state\verdict.new echo to=%to%
>>state\verdict.new echo reason=%reason%
set "console="
if exist "console\%number%.log" for %%g in ("console\%number%.log") do >>state\verdict.new echo console=%%~fg
if not exist "console\%number%.log" >>state\verdict.new echo console=
if defined saved >>state\verdict.new echo saved=%saved%
>>state\verdict.new echo time=%date% %time%
move /y state\verdict.new state\verdict.txt >nul
if not exist state\trial.txt exit /b 0
del /q state\trial.txt >nul 2>&1
:forget_runonce
reg delete "%runonce%" /v "!wslk" /f >nul 2>&1
exit /b 0

rem ---- wsl --shutdown, in the background: with a kernel that hangs it may never come back

:shutdown
del /q "%scratch%\shutdown.rc" >nul 2>&1
start "" /b cmd /d /c .\rollback.cmd --shutdown >nul 2>&1 <nul
set "waited=0"
:shutdown_wait
if exist "%scratch%\shutdown.rc" exit /b 0
if "%waited%"=="60" echo "wsl --shutdown" does not come back. The files are in place; if WSL hangs, restart Windows.
if "%waited%"=="60" exit /b 0
set /a waited+=1
call :tick
goto shutdown_wait

:shutdown_now
%wsl% --shutdown >"%scratch%\shutdown.out" 2>&1
>"%scratch%\shutdown.rc" echo %errorlevel%
exit /b 0

rem About a second. TIMEOUT wants a console and is not in wine; where PING is forbidden WAITFOR does it.
:tick
ping -n %WSLK_TICK% 127.0.0.1 >nul 2>&1
if not "%errorlevel%"=="0" waitfor /t 1 wslkNeverSent >nul 2>&1
exit /b 0

rem Cleans up; keeps the window open if Explorer opened it just for this.
:leave
del /q "%scratch%\*.tmp" >nul 2>&1
if defined codepage chcp %codepage% >nul 2>&1
if defined WSLK_TRIAL exit /b 0
if not defined cmdcmdline exit /b 0
set "line=%cmdcmdline:"=%"
if "%line%"=="%line:rollback.cmd=%" exit /b 0
if "%line%"=="%line: /c =%" exit /b 0
if not "%line%"=="%line: /d =%" exit /b 0
pause
exit /b 0
